"""A chooser of one of several options, whose choice can be kept in the address."""

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
    """Draw a chooser of one of several options and return the option chosen.

    Args:
        called: returns the label of an option.
        first: the default option; None takes the first of `options`.
        width: width in px of a drop-down list; None draws all options side by side.
        more: further arguments of the Streamlit widget, such as `help`.
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
