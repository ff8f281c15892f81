"""The state of pages: kept in the session, and in the URL so that it can be shared.

The session state is the truth while a page is open. The URL is read when it is opened (or when the user
goes back in the browser's history) and written after every run of the page, so that it can be shared. A
page that is left keeps its state in the session: the URL it is entered with again is empty.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import streamlit as st

SHARED = "present"  # parameters that belong to no page: the shell's own


@dataclass
class Explore:
    """The state of the Explore page that is not the value of a widget."""

    own_size: int | None = None  # the size that the run last shown was made for


@dataclass
class Jobs:
    """State of the jobs panel in this session."""

    active: set[str] = field(default_factory=set)  # when the page last looked
    dismissed: set[str] = field(default_factory=set)  # failures the user has read
    follow: str | None = None  # the run to open once its job is done


def jobs() -> Jobs:
    """Return this session's state of the jobs panel."""
    return st.session_state.setdefault("jobs", Jobs())


def explore() -> Explore:
    """Return this session's state of the Explore page."""
    return st.session_state.setdefault("explore", Explore())


@dataclass(frozen=True)
class Parameter:
    """One parameter of a page's address, whose value is in the session state.

    Attributes:
        name: its name in the address; in the session state the page's prefix stands before it.
        read: converts text to a value; the parameter is dropped on a ValueError.
        write: converts a value to text.
        default: the value that the address leaves out; a page can override it by what it shows.
    """

    name: str
    read: Callable[[str], Any] = str
    write: Callable[[Any], str] = str
    default: Any = None


def take_address(page: str, parameters: Sequence[Parameter], prefix: str = "") -> bool:
    """Copy the values of the address into the session, unless the page wrote them itself.

    Args:
        page: name of the page.
        parameters: parameters of the page.
        prefix: prefix of their names in the session state.

    Returns:
        Whether the address was taken.
    """
    names = {parameter.name for parameter in parameters}
    # Going back in the history, a page is first run with the parameters of the page that is left.
    url = {key: value for key, value in st.query_params.to_dict().items() if key in names}
    if not url or url == _written(page):
        return False
    for parameter in parameters:
        st.session_state.pop(prefix + parameter.name, None)
        if parameter.name in url:
            with suppress(ValueError):
                st.session_state[prefix + parameter.name] = parameter.read(url[parameter.name])
    st.session_state.setdefault("written", {})[page] = url
    return True


def put_address(
    page: str,
    parameters: Sequence[Parameter],
    prefix: str = "",
    defaults: Mapping[str, Any] = MappingProxyType({}),
    values: Mapping[str, Any] = MappingProxyType({}),
    hidden: Collection[str] = (),
) -> None:
    """Put the values that a page shows into the address, leaving out those that equal their default.

    Args:
        page, parameters, prefix: as `take_address`.
        defaults: defaults that depend on the run shown, by name.
        values: values that differ from those of the session state, by name.
        hidden: names of parameters that the present view does not use.
    """
    url: dict[str, str] = {}
    for parameter in parameters:
        name = parameter.name
        default = defaults.get(name, parameter.default)
        value = values[name] if name in values else st.session_state.get(prefix + name)
        if name in hidden or value is None:
            continue
        text = parameter.write(value)
        if default is None or text != parameter.write(default):
            url[name] = text
    shared = {key: value for key, value in st.query_params.to_dict().items() if key == SHARED}
    if url | shared != st.query_params.to_dict():
        st.query_params.from_dict(url | shared)
    st.session_state.setdefault("written", {})[page] = url


def _written(page: str) -> dict[str, str] | None:
    return st.session_state.get("written", {}).get(page)


def take_next_run(forget: bool) -> None:
    """Select the run that a job or the form asked for, before its chooser is drawn.

    Args:
        forget: drop that run instead, since the address names another one.
    """
    run_id = st.session_state.pop("open-next", None)
    if run_id is not None and not forget:
        st.session_state["run"] = run_id


def selected(names: tuple[str, ...]) -> None:
    """Select nodes or an edge; () clears."""
    st.session_state["select"] = names


def selection() -> tuple[str, ...]:
    """Return the names of the selected nodes, or of one edge."""
    return st.session_state.get("select", ())


def names_of(text: str) -> tuple[str, ...]:
    """Read a list of names out of a URL's parameter, as `text_of` wrote it."""
    return tuple(name.replace("%2C", ",") for name in text.split(",") if name)


def text_of(names: Iterable[str]) -> str:
    """Write a list of names into a URL's parameter; a comma within a name is escaped."""
    return ",".join(name.replace(",", "%2C") for name in names)


def open_run(run_id: str) -> None:
    """Select another run at the next redraw, since its chooser may already be drawn."""
    st.session_state["open-next"] = run_id
    st.rerun()
