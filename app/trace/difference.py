"""The difference of effects under optimal ablation and Gaussian noise, paired by prompt, with intervals."""

import numpy as np
import pandas as pd
import streamlit as st

from app.components.plotly_view import plotly_view
from app.figures.estimates import numbers_of
from app.figures.style import Look
from app.importance.tables import number_columns
from app.parts.table import as_table
from app.trace.choice import Shown
from app.trace.data import METRIC_NAMES, Pair, TraceRun
from app.trace.figures.lines import Profile, profiles_figure
from engine.runs.record import Estimate
from engine.tracing.cells import METRICS
from engine.tracing.effects import average_effects
from engine.tracing.names import CLASSES, TokenClass

LABEL = "Optimal less Gaussian"
STAR = (
    "*: the 95 % interval of the paired difference, a bootstrap over prompts for each layer or head by "
    "itself, leaves out 0, even where the difference rounds to 0."
)
ROUNDING = 1e-5  # differences below it can come from the arithmetic alone
STARRED = "leaves out 0"  # a table's column of stars
NOT_PAIRED = "The two corruptions were traced on no prompt in common, so there is no difference between them."


def in_common(optimal: TraceRun, gaussian: TraceRun) -> tuple[list[int], list[int]]:
    """Return the indices, in each run, of the prompts that both runs traced, in the same order."""
    places = [
        {(traced.text, traced.answer): i for i, traced in enumerate(run.result.traced)}
        for run in (optimal, gaussian)
    ]
    both = [key for key in places[0] if key in places[1]]
    return [places[0][key] for key in both], [places[1][key] for key in both]


def differences(pair: Pair, token_class: TokenClass, metric: str) -> list[Estimate | None]:
    """Return the mean paired difference of effects in every column of a class, with its interval.

    The list is empty if the runs traced no prompt in common.
    """
    # The time is part of the key: a run that was deleted and imported again may be another.
    key = tuple((str(run.folder), run.folder.stat().st_mtime_ns) for run in pair)
    return _differences(key, token_class, metric, pair)


def is_clear(difference: Estimate | None) -> bool:
    """Return whether the interval of a difference excludes 0, and the difference is no rounding error."""
    if difference is None or abs(difference.mean) < ROUNDING:
        return False
    low, high = difference.ci95
    return low is not None and high is not None and (low > 0 or high < 0)


def pairing_note(optimal: TraceRun, gaussian: TraceRun) -> str:
    """Return a note on the prompts that a difference is averaged over; "" if both runs traced the same."""
    n = len(in_common(optimal, gaussian)[0])
    if n == 0:
        return NOT_PAIRED
    if n == len(optimal.result.traced) == len(gaussian.result.traced):
        return ""
    return f"The difference is over the {n} prompts that both were traced on."


def difference_panel(shown: Shown, pair: Pair, token_class: TokenClass, scheme: Look) -> None:
    """Draw the difference of both corruptions for one class of tokens, over layers."""
    note = pairing_note(*pair)
    st.markdown(f"**{LABEL}, at the {token_class} token, by layer**")
    of_layers = differences(pair, token_class, shown.metric)
    if not any(of_layers):
        st.caption(note or "No prompt that both were traced on has such a token.")
        return
    clear = np.array([is_clear(difference) for difference in of_layers])
    mean, low, high = numbers_of(of_layers)
    profile = Profile(LABEL, scheme.ink, "circle", mean, low, high, clear)
    plotly_view(
        profiles_figure([profile], shown.words, scheme),
        "trace-difference",
        f"Average effect at the {token_class} token under optimal ablation less that under Gaussian noise, "
        "over layers. The table below lists it.",
        height=300,
    )
    st.caption(f"{METRIC_NAMES[shown.metric]}, average effect. {STAR} {note}")
    rows = {"layer": range(len(mean)), "mean": mean, "low": low, "high": high}
    as_table(
        pd.DataFrame(rows | {STARRED: np.where(clear, "*", "")}),
        "trace-difference-table",
        f"{LABEL} at the {token_class} token; a star where the interval leaves out 0",
        number_columns("mean", "low", "high"),
    )


@st.cache_data(max_entries=256, show_spinner=False)
def _differences(
    key: tuple[tuple[str, int], ...], token_class: TokenClass, metric: str, _pair: Pair
) -> list[Estimate | None]:
    places = in_common(*_pair)
    if not places[0]:
        return []
    at, measured = CLASSES.index(token_class), METRICS.index(metric)
    effects = [
        run.tensors["effects"][some][:, at, :, measured].astype(float)
        for run, some in zip(_pair, places, strict=True)
    ]
    # Arrays of a run that was imported may hold anything: nothing is checked.
    return [
        None if estimate is None else Estimate.model_construct(**estimate)
        for estimate in average_effects(effects[0] - effects[1], 0)
    ]
