"""What the page "Causal tracing" is about: the subject, and which of its traces are side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import streamlit as st

from app.panels.trace_data import (
    METRIC_NAMES,
    PAIR,
    STATE_NAMES,
    TraceSubject,
    corruption_title,
    key_of,
    metric_words,
    settings_text,
)
from app.text import plain
from engine.runs import Run

Option = TypeVar("Option", str, int)


@dataclass(frozen=True)
class Shown:
    """What is side by side.

    Attributes:
        state, window: what was restored.
        metric: what effects are measured in.
        words: the same within a sentence.
        runs: one for each corruption that there is one of, the optimal one first.
    """

    state: str
    window: int
    metric: str
    words: str
    runs: dict[str, Run]

    @property
    def first(self) -> Run:
        """One of the runs; what they are about is the same."""
        return next(iter(self.runs.values()))

    @property
    def pair(self) -> tuple[Run, Run] | None:
        """The runs whose difference is shown; None unless both are there."""
        one, other = (self.runs.get(name) for name in PAIR)
        return None if one is None or other is None else (one, other)

    @property
    def classes(self) -> list[str]:
        """The classes of tokens that there are any of; none of a prompt."""
        found = self.first.result["classes"].items()
        return [name for name, one in found if one["effects"][self.metric][0] is not None]


def choose_shown(subject: TraceSubject) -> Shown | None:
    """Draw the choosers of state, window, metric and settings; None if nothing is finished yet."""
    asked = {(t.state, t.window) for run in subject.runs if (t := run.request.trace) is not None}
    if not asked:
        return None
    states = [state for state in STATE_NAMES if any(state == one for one, _ in asked)]
    with st.container(horizontal=True, vertical_alignment="bottom", key="trace-choosers"):
        state = segmented("Restored", "trace-state", states, STATE_NAMES, states[0])
        windows = sorted(window for one, window in asked if one == state)
        window = windows[0]
        if len(windows) > 1:
            window = _select("Window", "trace-window", windows, "Layers restored at once.")
        metric = segmented("Effect on", "trace-metric", list(METRIC_NAMES), METRIC_NAMES, "probability")
        runs = {}
        for corruption in subject.corruptions():
            found = subject.of(state, window, corruption)
            if len(found) > 1:
                by_id = {run.run_id: run for run in found}
                label = f"{plain(corruption_title(corruption))}, settings"
                texts = {run_id: settings_text(run) or "no settings" for run_id, run in by_id.items()}
                key = f"trace-{key_of(corruption)}"
                runs[corruption] = by_id[_select(label, key, list(by_id), None, texts)]
            elif found:
                runs[corruption] = found[0]
    if not runs:
        return None
    return Shown(state, window, metric, metric_words(subject.request, metric), runs)


def choose_class(shown: Shown) -> str:
    """Draw the chooser of a class of tokens, the page's only one, and return it."""
    classes = shown.classes
    return segmented("Token", "trace-class", classes, {name: name for name in classes}, classes[-1])


def segmented(
    label: str,
    key: str,
    options: Sequence[str],
    names: dict[str, str],
    first: str,
    why: str | None = None,
) -> str:
    """Draw a row of options and return the one that is chosen, at the beginning the `first`."""
    if st.session_state.get(key) not in options:
        st.session_state[key] = first
    found = st.segmented_control(
        label,
        options,
        key=key,
        format_func=names.__getitem__,
        help=why,
        required=True,
        persist_state="session",
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
