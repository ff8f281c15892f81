"""Choosers of the page "Lens", and descriptions of the lenses."""

import streamlit as st

from app.lens.data import ReadRun, lens_title
from app.parts.options import choose_option
from app.text import plain
from engine.lenses.base import lenses

# Where a lens that comes with the program was described; one of somebody else's says it in its description.
SOURCES = {
    "logit": "nostalgebraist 2020",
    "mean": "Li and Janson 2024, arXiv 2409.09951",
    "tuned": "Belrose et al. 2023, arXiv 2303.08112",
    "oca": "Li and Janson 2024, arXiv 2409.09951",
    "linear-oca": "Li and Janson 2024, arXiv 2409.09951",
}


def about_lens(name: str) -> str:
    """Return the description of a lens in one sentence, with its source; "" for an unknown lens."""
    if name not in lenses.names():
        return ""
    source = f" ({SOURCES[name]})" if name in SOURCES else ""
    return f"{lenses.get(name).description.removesuffix('.')}{source}."


def choose_lens(run: ReadRun, label: str, key: str, first: str, narrow: bool = False) -> str:
    """Draw a chooser of a lens and return it.

    Args:
        first: the lens to begin with.
        narrow: draw a narrow chooser.
    """
    names = run.result.lenses
    if (wanted := st.session_state.get(key)) is not None and wanted not in names:
        st.warning(
            f"{plain(lens_title(wanted[:80]))} did not read this text: press **Read** on the left to "
            "have it read by every lens. This is another one.",
            icon=":material/search_off:",
        )
    begin = first if first in names else names[0]
    if narrow:
        return choose_option(label, key, names, lens_title, begin, width=180)
    # Five of them fill the line.
    return choose_option(label, key, names, lambda name: lens_title(name).removesuffix(" lens"), begin)
