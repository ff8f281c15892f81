"""What a page remembers of its user: one typed place in the session, and the same in the URL.

The session state is the truth while a page is open. The URL is read when it is opened (or when the user
goes back in the browser's history) and written after every run of the page, so that it can be shared.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import streamlit as st


@dataclass
class Explore:
    """The state of the Explore page that is not the value of a widget."""

    select: tuple[str, ...] = ()  # names of nodes, or of one edge
    own_size: int | None = None  # the size that the run last shown was made for
    written: dict[str, str] = field(default_factory=dict)  # what the URL said when the page last wrote it


@dataclass
class Jobs:
    """What this session knows of the server's jobs."""

    active: set[str] = field(default_factory=set)  # when the page last looked
    dismissed: set[str] = field(default_factory=set)  # failures the user has read
    follow: str | None = None  # the run to open once its job is done


def jobs() -> Jobs:
    """Return this session's state of the jobs panel."""
    return st.session_state.setdefault("jobs", Jobs())


def explore() -> Explore:
    """Return this session's state of the Explore page."""
    return st.session_state.setdefault("explore", Explore())


def read_url(convert: dict[str, Callable[[str], object]]) -> None:
    """Take the URL's values into the session, if the page did not write them itself.

    Args:
        convert: per widget key, how to read its text; ValueError drops the value.
    """
    state = explore()
    url = st.query_params.to_dict()
    if url == state.written:
        return
    state.written = url
    state.select = tuple(name for name in url.get("select", "").split(",") if name)
    for key, read in convert.items():
        st.session_state.pop(key, None)
        if key in url:
            try:
                st.session_state[key] = read(url[key])
            except ValueError:
                continue


def write_url(values: dict[str, object], defaults: dict[str, object]) -> None:
    """Put `values` into the URL, leaving out what equals its default."""
    state = explore()
    url = {key: str(value) for key, value in values.items() if value != defaults.get(key)}
    if state.select:
        url["select"] = ",".join(state.select)
    if url != st.query_params.to_dict():
        st.query_params.from_dict(url)
    state.written = url


def take_next_run() -> None:
    """Put a run that a job or the form asked for into the chooser, before that is drawn."""
    if "open-next" in st.session_state:
        st.session_state["run"] = st.session_state.pop("open-next")


def selected(names: tuple[str, ...]) -> None:
    """Select nodes or an edge; () clears."""
    explore().select = names


def open_run(run_id: str) -> None:
    """Show another run from the next drawing of the page on: its chooser may be drawn already in this one."""
    st.session_state["open-next"] = run_id
    st.rerun()
