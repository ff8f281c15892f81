"""What the page "Causal tracing" is about: the subject, and which of its traces are side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import streamlit as st

from app.panels.trace_data import CORRUPTION_NAMES, METRIC_NAMES, STATE_NAMES, TraceSubject, settings_text
from engine.runs import Run

Option = TypeVar("Option", str, int)


@dataclass(frozen=True)
class Shown:
    """What is side by side.

    Attributes:
        state, window: what was restored.
        metric: what effects are measured in.
        runs: one for each corruption that there is one of, the optimal one first.
    """

    state: str
    window: int
    metric: str
    runs: dict[str, Run]


def choose_shown(subject: TraceSubject) -> Shown | None:
    """Draw the choosers of state, window, metric and settings; None if nothing is finished yet."""
    asked = {(t.state, t.window) for run in subject.runs if (t := run.request.trace) is not None}
    if not asked:
        return None
    states = [state for state in STATE_NAMES if any(state == one for one, _ in asked)]
    with st.container(horizontal=True, vertical_alignment="bottom", key="trace-choosers"):
        state = _segmented("Restored", "trace-state", states, STATE_NAMES, states[0])
        windows = sorted(window for one, window in asked if one == state)
        window = windows[0]
        if len(windows) > 1:
            window = _select("Window", "trace-window", windows, "Layers restored at once.")
        metric = _segmented("Effect on", "trace-metric", list(METRIC_NAMES), METRIC_NAMES, "probability")
        runs = {}
        for corruption in CORRUPTION_NAMES:
            found = subject.of(state, window, corruption)
            if len(found) > 1:
                by_id = {run.run_id: run for run in found}
                label = f"{CORRUPTION_NAMES[corruption]}, settings"
                texts = {run_id: settings_text(run) for run_id, run in by_id.items()}
                runs[corruption] = by_id[_select(label, f"trace-{corruption}", list(by_id), None, texts)]
            elif found:
                runs[corruption] = found[0]
    return Shown(state, window, metric, runs) if runs else None


def _segmented(label: str, key: str, options: Sequence[str], names: dict[str, str], first: str) -> str:
    if st.session_state.get(key) not in options:
        st.session_state[key] = first
    found = st.segmented_control(
        label, options, key=key, format_func=names.__getitem__, required=True, persist_state="session"
    )
    return found or first


def _select(
    label: str, key: str, options: list[Option], why: str | None, names: dict[Option, str] | None = None
) -> Option:
    if st.session_state.get(key) not in options:
        st.session_state[key] = options[0]
    return st.selectbox(
        label,
        options,
        key=key,
        format_func=lambda option: str(option) if names is None else names[option],
        help=why,
        width=240,
        persist_state="session",
    )
