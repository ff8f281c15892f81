"""Presentation mode: the form is hidden and type is large, for a beamer.

The mode is kept in the session, since navigation empties the URL; the parameter `present=1` shares it.
"""

from dataclasses import dataclass

import streamlit as st

from app.figures.style import Look, look
from app.state import SHARED

_SWITCH = "present-switch"  # the key of the button

# Everything that Streamlit draws is sized in rem. It grows with the window: more pixels make no larger one.
# What is hidden is drawn all the same, so its widgets keep their values.
_LARGE = """
html:root { font-size: clamp(19px, 1.12vw, 30px); }
.stMainBlockContainer { padding-top: 3.9rem; }
[data-testid=stSidebar], [data-testid=stExpandSidebarButton] { display: none; }
"""
# In the header, where it stays while the page is scrolled.
_PLACE = f"""
.st-key-{_SWITCH} {{ position: fixed; top: 0.55rem; right: 2.2rem; z-index: 1000000; width: auto; }}
"""


@dataclass
class Presentation:
    """State of presentation mode in this session.

    Attributes:
        on: whether it is on.
        page: path of the page last drawn.
    """

    on: bool = False
    page: str | None = None


def presenting() -> bool:
    """Return whether this session presents."""
    return _state().on


def page_look() -> Look:
    """Return the look of the page's figures: light or dark as the page, large in presentation mode."""
    return look(st.context.theme.type or "light", large=presenting())


def presentation_switch(page: str) -> None:
    """Draw the button that enters or leaves the mode, and apply the mode to the page.

    Args:
        page: path of the page that is about to be drawn.
    """
    state = _state()
    if SHARED in st.query_params:
        state.on = True
    elif page == state.page:
        state.on = False  # the user went back in the browser's history
    elif state.on:
        st.query_params[SHARED] = "1"
    state.page = page
    st.html(f"<style>{_PLACE}{_LARGE if state.on else ''}</style>")
    st.button(
        "Leave presentation" if state.on else "Present",
        key=_SWITCH,
        icon=":material/close_fullscreen:" if state.on else ":material/present_to_all:",
        help=None if state.on else "Large type and no form, for a beamer",
        on_click=_toggle,
    )


def _toggle() -> None:
    if _state().on:
        st.query_params.pop(SHARED, None)
    else:
        st.query_params[SHARED] = "1"


def _state() -> Presentation:
    return st.session_state.setdefault("presentation", Presentation())
