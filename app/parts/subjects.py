"""The chooser of what a page is about: one of the things that runs are about."""

from collections.abc import Mapping
from typing import Protocol, TypeVar

import streamlit as st

from app.text import plain


class Labelled(Protocol):
    """What a page can be about."""

    @property
    def label(self) -> str:
        """What the page calls it."""
        ...


Subject = TypeVar("Subject", bound=Labelled)


def choose_subject(subjects: Mapping[str, Subject], page: str, gone: str, why: str) -> Subject | None:
    """Draw the chooser of what a page is about and return it; None if there is nothing.

    Args:
        subjects: what there is, by what the address calls it.
        page: what the keys of the page's session state begin with: "<page>-subject" is what is chosen, and
            "<page>-next" what a form asked for.
        gone: what is said of a subject that is not there, with "{}" for it.
        why: the chooser's help.
    """
    chosen = f"{page}-subject"
    if (wanted := st.session_state.pop(f"{page}-next", None)) in subjects:
        st.session_state[chosen] = wanted
    if not subjects:
        return None
    if st.session_state.get(chosen) not in subjects:
        if chosen in st.session_state:
            st.warning(f"{gone.format(plain(st.session_state[chosen][:80]))} This is another one.")
        st.session_state[chosen] = next(iter(subjects))
    key = st.selectbox(
        "Show",
        list(subjects),
        key=chosen,
        format_func=lambda key: subjects[key].label,
        help=why,
        persist_state="session",
    )
    return subjects[key]
