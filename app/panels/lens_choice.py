"""What the page "Lens" is about: the text, and the lens."""

import streamlit as st

from app.panels.lens_data import lens_title
from engine.runs import Run


def choose_lens(run: Run, label: str, key: str, first: str, narrow: bool = False) -> str:
    """Draw a chooser of a lens and return it.

    Args:
        first: the lens to begin with.
        narrow: take little room.
    """
    names = run.result["lenses"]
    if st.session_state.get(key) not in names:
        st.session_state[key] = first if first in names else names[0]
    if narrow:
        return st.selectbox(label, names, key=key, format_func=lens_title, width=180, persist_state="session")
    found = st.segmented_control(
        label, names, key=key, format_func=lens_title, required=True, persist_state="session"
    )
    return found or names[0]
