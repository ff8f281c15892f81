"""What the user sees of an error that nobody foresaw; foreseen ones are shown where they happen."""

import logging

import streamlit as st

from app.text import plain

logger = logging.getLogger(__name__)


def show_unforeseen(error: Exception) -> bool:
    """Show one line instead of a traceback, which goes to the log; True means that was all."""
    logger.error("a page failed", exc_info=error)
    first = (str(error).splitlines() or [""])[0]
    show_error(
        f"Something failed that was not foreseen ({type(error).__name__}: {first}). "
        "Reload the page or choose another run; the server's log has the details."
    )
    return True


def show_error(message: str) -> None:
    """Show what went wrong and what to do, as the engine says it: text of others is not read as markdown."""
    st.error(plain(message), icon=":material/error:")
