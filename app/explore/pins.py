"""Pinned nodes and the notes on them, which are saved with the run."""

from collections.abc import Callable

import streamlit as st

from app import state
from app.errors import show_error
from app.runs import Opened, store
from engine.errors import CircuitExplorerError
from engine.runs.notes import LONGEST_NOTE, Notes, change_notes, read_notes


def pin_button(opened: Opened, node: str) -> None:
    """Draw the button that pins a node or takes the pin out."""
    pins = read_notes(store(), opened.run).pins
    if pins.get(node):
        with st.popover("Unpin", type="tertiary", icon=":material/keep_off:", key="unpin"):
            st.text("The note on it goes too.")
            st.button("Unpin and delete the note", key="pin", on_click=_unpin, args=(opened, node))
        return
    pinned = node in pins
    st.button(
        "Unpin" if pinned else "Pin",
        key="pin",
        on_click=_unpin if pinned else _pin,
        args=(opened, node),
        type="tertiary",
        icon=":material/keep_off:" if pinned else ":material/keep:",
        help="A pinned node gets a star in the graph; pins and notes are saved with the run.",
    )


def note_field(opened: Opened, node: str) -> None:
    """Draw the field for the note on a node; writing one pins the node."""
    key = _note_key(opened, node)
    note = read_notes(store(), opened.run).pins.get(node, "")
    st.text_area(
        f"Note on {node}",
        note,
        key=key,
        max_chars=LONGEST_NOTE,
        height=110,
        placeholder="What do you think this node does? Saved with the run.",
        on_change=lambda: _pin(opened, node, st.session_state[key].strip()),
    )


def pins_list(opened: Opened) -> None:
    """Draw the pinned nodes with their notes; a click selects one."""
    pins = read_notes(store(), opened.run).pins
    if not pins:
        return
    st.markdown("**Pinned nodes**")
    for node in (name for name in opened.graph.nodes if name in pins):
        button, note = st.columns([1, 3], vertical_alignment="center")
        button.button(node, key=f"pinned-{node}", on_click=state.selected, args=((node,),), width="stretch")
        note.text(pins[node] or "no note")


def _pin(opened: Opened, node: str, note: str = "") -> None:
    _change(opened, lambda pins: pins | {node: note})


def _unpin(opened: Opened, node: str) -> None:
    st.session_state[_note_key(opened, node)] = ""
    _change(opened, lambda pins: {name: note for name, note in pins.items() if name != node})


def _change(opened: Opened, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    try:
        change_notes(store(), opened.run, lambda notes: Notes(notes.title, change(notes.pins)))
    except CircuitExplorerError as error:
        show_error(str(error))


def _note_key(opened: Opened, node: str) -> str:
    return f"note-{opened.run.run_id}-{node}"
