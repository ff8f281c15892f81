"""What the page "Causal tracing" is about: the subject, and which of its traces are side by side."""

from collections.abc import Mapping, Sequence
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
    shape_of,
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
        runs: one for each corruption that there is one of, the optimal one first, all of one shape.
        unlike: what is left out, for its tokens, layers or heads are not those of the first.
    """

    state: str
    window: int
    metric: str
    words: str
    runs: dict[str, Run]
    unlike: tuple[Run, ...]

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
        """The classes of tokens that any run has effects of; none of a prompt."""
        found = [run.result["classes"] for run in self.runs.values()]
        return [name for name in found[0] if any(one[name]["effects"][self.metric][0] for one in found)]


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
            window = select("Window", "trace-window", windows, window, why="Layers restored at once.")
        metric = segmented("Effect on", "trace-metric", list(METRIC_NAMES), METRIC_NAMES, "probability")
        runs, unlike = {}, []
        for corruption in subject.corruptions():
            found = subject.of(state, window, corruption)
            if runs:  # a run may come from anywhere
                shape = shape_of(next(iter(runs.values())))
                unlike += [run for run in found if shape_of(run) != shape]
                found = [run for run in found if shape_of(run) == shape]
            if len(found) > 1:
                by_id = {run.run_id: run for run in found}
                label = f"{plain(corruption_title(corruption))}, settings"
                texts = {run.run_id: settings_text(run, found) or "no settings" for run in found}
                key = f"trace-{key_of(corruption)}"
                runs[corruption] = by_id[select(label, key, list(by_id), next(iter(by_id)), texts)]
            elif found:
                runs[corruption] = found[0]
    if not runs:
        return None
    return Shown(state, window, metric, metric_words(subject.request, metric), runs, tuple(unlike))


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
    _begin(key, options, first)
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


def select(
    label: str,
    key: str,
    options: Sequence[Option],
    first: Option,
    names: Mapping[Option, str] | None = None,
    why: str | None = None,
) -> Option:
    """Draw a list of options and return the one that is chosen, at the beginning the `first`."""
    _begin(key, options, first)
    return st.selectbox(
        label,
        options,
        key=key,
        format_func=lambda option: str(option) if names is None else names[option],
        help=why,
        width=240,
        persist_state="session",
    )


def _begin(key: str, options: Sequence[Option], first: Option) -> None:
    """Choose the first option where nothing is chosen that there is: an address can ask for anything."""
    if st.session_state.get(key) not in options:
        st.session_state[key] = first
