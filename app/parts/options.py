"""The chooser of one of several things, whose choice an address can hold."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import streamlit as st

from app.text import plain

Option = TypeVar("Option", str, int)


def choose_option(
    label: str,
    key: str,
    options: Sequence[Option],
    called: Callable[[Option], str],
    first: Option | None = None,
    width: int | None = None,
    **more: Any,
) -> Option:
    """Draw a chooser of one of several things and return it.

    Args:
        called: what an option is called.
        first: the one to begin with; None for the first of them.
        width: of a list that folds, px; None has all of them side by side.
        more: `help` and the like, as Streamlit takes them.
    """
    begin = options[0] if first is None else first
    if st.session_state.get(key) not in options:  # an address may ask for anything
        st.session_state[key] = begin
    more |= {"key": key, "persist_state": "session"}
    if width is not None:
        return st.selectbox(label, options, format_func=called, width=width, **more)
    # Names side by side are read as markdown.
    chosen = st.segmented_control(
        label, options, format_func=lambda option: plain(called(option)), required=True, **more
    )
    return begin if chosen is None else chosen
