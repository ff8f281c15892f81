"""What the page "Lens" is about: the text, and the lens."""

import streamlit as st

from app.panels.lens_data import Reading, lens_title
from app.text import plain
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


def choose_reading(there: dict[str, Reading]) -> Reading | None:
    """Draw the chooser of a text and return its reading; None if there is none."""
    if (wanted := st.session_state.pop("lens-next", None)) in there:
        st.session_state["lens-subject"] = wanted
    if not there:
        return None
    if st.session_state.get("lens-subject") not in there:
        if "lens-subject" in st.session_state:
            gone = plain(st.session_state["lens-subject"][:80])
            st.warning(f"There is no reading '{gone}' here. This is another one.")
        st.session_state["lens-subject"] = next(iter(there))
    key = st.selectbox(
        "Show",
        list(there),
        key="lens-subject",
        format_func=lambda key: there[key].label,
        help="A text that lenses have read.",
        persist_state="session",
    )
    return there[key]
