"""Choices of the page "Causal tracing": the subject, and its traces that are shown side by side."""

from dataclasses import dataclass
from typing import cast

import streamlit as st

from app.parts.options import choose_option
from app.text import plain
from app.trace.data import (
    METRIC_NAMES,
    PAIR,
    STATE_NAMES,
    Pair,
    TraceRun,
    TraceSubject,
    corruption_title,
    key_of,
    metric_words,
    settings_text,
    shape_of,
)
from engine.tracing.names import TokenClass

LIST = 240  # px, of a list that folds


@dataclass(frozen=True)
class Shown:
    """The traces shown side by side.

    Attributes:
        state, window: the state restored, and in how many layers at once.
        metric: the metric of the effects.
        words: the metric in words, for use within a sentence.
        runs: one run per corruption, optimal ablation first, all of one shape.
        unlike: runs left out, since their tokens, layers or heads are not those of the first.
    """

    state: str
    window: int
    metric: str
    words: str
    runs: dict[str, TraceRun]
    unlike: tuple[TraceRun, ...]

    @property
    def first(self) -> TraceRun:
        """The first of the runs."""
        return next(iter(self.runs.values()))

    @property
    def pair(self) -> Pair | None:
        """The runs under optimal ablation and Gaussian noise, to be subtracted; None unless both exist."""
        optimal, gaussian = (self.runs.get(name) for name in PAIR)
        return None if optimal is None or gaussian is None else (optimal, gaussian)

    @property
    def classes(self) -> list[TokenClass]:
        """The classes of tokens for which a run has effects; [] for a single prompt."""
        of_runs = [run.result.classes for run in self.runs.values()]
        return [
            name for name in of_runs[0] if any(classes[name].effects[self.metric][0] for classes in of_runs)
        ]


def choose_shown(subject: TraceSubject) -> Shown | None:
    """Draw the choosers of state, window, metric and settings; None if nothing is finished yet."""
    asked = {(run.request.trace.state, run.request.trace.window) for run in subject.runs}
    if not asked:
        return None
    states = [state for state in STATE_NAMES if any(state == other for other, _ in asked)]
    with st.container(horizontal=True, vertical_alignment="bottom", key="trace-choosers"):
        state = choose_option("Restored", "trace-state", states, STATE_NAMES.__getitem__)
        windows = sorted(window for other, window in asked if other == state)
        window = windows[0]
        if len(windows) > 1:
            window = choose_option(
                "Window", "trace-window", windows, str, width=LIST, help="Layers restored at once."
            )
        metric = choose_option("Effect on", "trace-metric", list(METRIC_NAMES), METRIC_NAMES.__getitem__)
        runs, unlike = {}, []
        for corruption in subject.corruptions():
            traced = subject.of(state, window, corruption)
            if runs:  # a run may come from anywhere
                shape = shape_of(next(iter(runs.values())))
                unlike += [run for run in traced if shape_of(run) != shape]
                traced = [run for run in traced if shape_of(run) == shape]
            if len(traced) > 1:
                by_id = {run.run_id: run for run in traced}
                label = f"{plain(corruption_title(corruption))}, settings"
                texts = {run.run_id: settings_text(run, traced) or "no settings" for run in traced}
                key = f"trace-{key_of(corruption)}"
                runs[corruption] = by_id[
                    choose_option(label, key, list(by_id), texts.__getitem__, width=LIST)
                ]
            elif traced:
                runs[corruption] = traced[0]
    if not runs:
        return None
    return Shown(state, window, metric, metric_words(subject.request, metric), runs, tuple(unlike))


def choose_class(shown: Shown) -> TokenClass:
    """Draw the chooser of a class of tokens, once per page, and return the class."""
    classes = shown.classes
    return cast("TokenClass", choose_option("Token", "trace-class", classes, str, first=classes[-1]))
