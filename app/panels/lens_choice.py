"""Choosers of the page "Lens", and what each lens is in one sentence."""

from collections.abc import Sequence
from typing import TypeVar

import streamlit as st

from app.panels.lens_data import lens_title
from app.text import plain
from engine.lenses.base import lenses
from engine.runs import Run

# Where a lens that comes with the program was described; one of somebody else's says it in its description.
SOURCES = {
    "logit": "nostalgebraist 2020",
    "mean": "Li and Janson 2024, arXiv 2409.09951",
    "tuned": "Belrose et al. 2023, arXiv 2303.08112",
    "oca": "Li and Janson 2024, arXiv 2409.09951",
    "linear-oca": "Li and Janson 2024, arXiv 2409.09951",
}

Option = TypeVar("Option", str, int)


def about_lens(name: str) -> str:
    """Return what a lens is in one sentence, with its source; "" of one that is not known here."""
    if name not in lenses.names():
        return ""
    source = f" ({SOURCES[name]})" if name in SOURCES else ""
    return f"{lenses.get(name).description.removesuffix('.')}{source}."


def choose_lens(run: Run, label: str, key: str, first: str, narrow: bool = False) -> str:
    """Draw a chooser of a lens and return it.

    Args:
        first: the lens to begin with.
        narrow: take little room.
    """
    names = run.result["lenses"]
    if (wanted := st.session_state.get(key)) not in names:
        if wanted is not None:
            st.warning(
                f"{plain(lens_title(wanted[:80]))} did not read this text: press **Read** on the left to "
                "have it read by every lens. This is another one.",
                icon=":material/search_off:",
            )
        st.session_state[key] = first if first in names else names[0]
    if narrow:
        return st.selectbox(label, names, key=key, format_func=lens_title, width=180, persist_state="session")
    found = st.segmented_control(
        label,
        names,
        key=key,
        format_func=lambda name: lens_title(name).removesuffix(" lens"),  # five of them fill the line
        required=True,
        persist_state="session",
    )
    return found or names[0]


def choose_option(label: str, key: str, options: Sequence[Option], words: dict[Option, str]) -> Option:
    """Draw a chooser of one of a few things and return it, the first of them at first.

    Args:
        words: what they are called; one that is not among them is called as it is.
    """
    if st.session_state.get(key) not in options:
        st.session_state[key] = options[0]
    found = st.segmented_control(
        label,
        options,
        key=key,
        format_func=lambda option: words.get(option, str(option)),
        required=True,
        persist_state="session",
    )
    return options[0] if found is None else found
