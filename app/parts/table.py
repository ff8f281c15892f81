"""The numbers of a figure as a table, folded, with the button that saves them."""

from typing import Any

import pandas as pd
import streamlit as st

TALLEST = 320  # px


def as_table(frame: pd.DataFrame, key: str, alt: str, columns: dict[str, Any] | None = None) -> None:
    """Draw the numbers of a figure, folded, with the button that saves them.

    Args:
        key: key of the button, and name of the file.
        alt: description of the table for a screen reader.
        columns: `column_config` of `st.dataframe`.
    """
    with st.expander("As a table"):
        st.dataframe(
            frame,
            hide_index=True,
            height=min(35 * (len(frame) + 1) + 2, TALLEST),
            alt=alt,
            column_config=columns,
        )
        st.download_button(
            "CSV",
            lambda: frame.to_csv(index=False),
            f"{key}.csv",
            "text/csv",
            key=f"{key}-csv",
            icon=":material/download:",
            help="These numbers, with all their digits",
            on_click="ignore",
        )
