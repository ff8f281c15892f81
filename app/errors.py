"""Messages for errors: unforeseen ones are shown here, foreseen ones where they happen."""

import logging

import streamlit as st

from app.text import plain

logger = logging.getLogger(__name__)


def show_unforeseen(error: Exception) -> bool:
    """Show one line instead of the traceback, which goes to the log; return True: the error is handled."""
    logger.error("a page failed", exc_info=error)
    first = (str(error).splitlines() or [""])[0]
    show_error(
        f"Something failed that was not foreseen ({type(error).__name__}: {first}). "
        "Reload the page or choose another run; the server's log has the details."
    )
    return True


def show_error(message: str) -> None:
    """Show an error message of the engine as it is, without reading it as markdown."""
    st.error(plain(message), icon=":material/error:")
