"""Notes that a computation left for its readers."""

from collections.abc import Iterable

import streamlit as st

from app.text import plain
from engine.runs.folder import AnyRun


def show_notes(runs: Iterable[AnyRun]) -> None:
    """Draw the notes of some runs, each once."""
    for note in dict.fromkeys(note for run in runs for note in run.result.notes):
        st.caption(f":material/info: {plain(note)}")
