"""The chooser of a page's subject, for example a model with a task, which several runs are about."""

from collections.abc import Mapping
from typing import Protocol, TypeVar

import streamlit as st

from app.text import plain


class Labelled(Protocol):
    """A subject of a page."""

    @property
    def label(self) -> str:
        """The subject's label in the chooser."""
        ...


Subject = TypeVar("Subject", bound=Labelled)


def choose_subject(subjects: Mapping[str, Subject], page: str, gone: str, why: str) -> Subject | None:
    """Draw the chooser of a page's subject and return the subject; None if there is none.

    Args:
        subjects: the subjects by their keys in the address.
        page: prefix of the page's keys in the session state: "<page>-subject" holds the subject chosen, and
            "<page>-next" the subject that a form asked for.
        gone: warning about a subject that does not exist, with "{}" for its key.
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
