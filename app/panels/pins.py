"""Pinned nodes and the notes on them, which are saved with the run."""

import streamlit as st

from app import state
from app.data import Opened, store
from app.errors import show_error
from engine.errors import CircuitExplorerError
from engine.notes import Notes, read_notes, write_notes

LONGEST = 2000  # characters of a note


def pin_button(opened: Opened, node: str) -> None:
    """Draw the button that pins a node or takes the pin out."""
    pinned = node in read_notes(store(), opened.run).pins
    st.button(
        "Unpin" if pinned else "Pin",
        key="pin",
        on_click=_unpin if pinned else _pin,
        args=(opened, node, ""),
        type="tertiary",
        icon=":material/keep_off:" if pinned else ":material/keep:",
        help="A pinned node gets a star in the graph; pins and notes are saved with the run.",
    )


def note_field(opened: Opened, node: str) -> None:
    """Draw the field for the note on a node; writing one pins the node."""
    key = f"note-{opened.run.run_id}-{node}"
    note = read_notes(store(), opened.run).pins.get(node, "")
    st.text_area(
        f"Note on {node}",
        note,
        key=key,
        max_chars=LONGEST,
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


def _pin(opened: Opened, node: str, note: str) -> None:
    notes = read_notes(store(), opened.run)
    _save(opened, Notes(notes.title, notes.pins | {node: note}))


def _unpin(opened: Opened, node: str, _note: str) -> None:
    notes = read_notes(store(), opened.run)
    _save(opened, Notes(notes.title, {name: note for name, note in notes.pins.items() if name != node}))


def _save(opened: Opened, notes: Notes) -> None:
    try:
        write_notes(store(), opened.run, notes)
    except CircuitExplorerError as error:
        show_error(str(error))
