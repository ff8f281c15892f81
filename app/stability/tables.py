"""A repeated discovery in numbers: its repeats, and the edges by how many circuits keep them."""

import pandas as pd
import streamlit as st


def tables(repeats: pd.DataFrame, edges: pd.DataFrame | None, run_id: str) -> None:
    """Draw the repeats, and the edges by how many circuits keep them, each with a button that saves it.

    Args:
        repeats, edges: of `app.stability.data`.
        run_id: of the repeated discovery; the files are called after it.
    """
    column, number = st.column_config, st.column_config.NumberColumn
    low = number("from", width=62, format="%.3g", help="Of the 95 % interval over prompts.")
    high = number("to", width=62, format="%.3g")
    st.dataframe(
        repeats,
        hide_index=True,
        height="content" if len(repeats) <= 12 else 450,
        placeholder="–",
        alt="The circuit itself and its repeats, with edges, KL, faithfulness and overlap",
        column_config={
            "what": column.TextColumn("", width=140),
            "seed": number(width=48),
            "jaccard": number("Jaccard", width=62, format="%.2f", help="Overlap with this circuit's edges."),
            "edges": number(width=52, format="localized"),
            "kl": number("KL (nats)", width=72, format="%.3g"),
            "kl_low": low,
            "kl_high": high,
            "faithfulness": number(width=84, format="%.3g"),
            "faithfulness_low": low,
            "faithfulness_high": high,
            "prompts": number(width=62),
            "held_out": column.TextColumn("templates held out", width=200),
            "error": column.TextColumn(width=200),
            "run": column.TextColumn("run id"),
        },
    )
    with st.container(horizontal=True):
        _save("Repeats as CSV", repeats, f"{run_id}.csv")
        if edges is not None:
            _save("Edges as CSV", edges, f"{run_id}-edges.csv")
    if edges is None:
        return
    with st.expander(f"Edges by how many circuits keep them ({len(edges):,})"):
        st.dataframe(
            edges,
            hide_index=True,
            height=300,
            alt="Edges with the share of the circuits that keep them",
            column_config={
                "name": None,  # for the file
                "share": column.ProgressColumn("kept by", format="percent", min_value=0, max_value=1),
                "here": column.CheckboxColumn("in this circuit"),
            },
        )


def _save(label: str, table: pd.DataFrame, name: str) -> None:
    st.download_button(
        label,
        lambda: table.to_csv(index=False),
        name,
        "text/csv",
        key=f"stability-{label}",
        icon=":material/download:",
        on_click="ignore",
    )
