"""The panel of a discovery repeated with other seeds and other templates: how stable is the circuit?"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app.components.plotly_view import plotly_view
from app.figures.curve import METRIC_NAMES
from app.figures.style import Look
from app.parts.asked import ask_button
from app.parts.notes import show_notes
from app.requests import stability_request
from app.runs import Opened, evaluated, found_by, shelf
from app.stability.data import (
    METRICS,
    StabilityRun,
    counts_of,
    edges_table,
    labels_of,
    ok,
    repeats_table,
    spread_marks,
)
from app.stability.figures.stability import frequency_figure, jaccard_figure, spread_figure
from app.stability.tables import tables
from app.text import plain
from engine.instruments.imported.request import Import
from engine.instruments.stability.instrument import StabilityInstrument
from engine.instruments.stability.result import Repeat, StabilityResult
from engine.instruments.words import model_name, title_of

SEEDS = 3  # other ones, that the button asks for


def stability_panel(opened: Opened, scheme: Look) -> None:
    """Draw the results of the run's repeated discovery, or the button that repeats it."""
    st.subheader("Stability", anchor=False)
    if isinstance(opened.request, Import):
        st.caption("An imported circuit cannot be repeated: nothing here knows how it was found.")
        return
    runs = repeated(opened.run.run_id)
    if len(runs) < 2:
        st.session_state.pop("stability", None)  # there is nothing to choose from
    if not runs:
        st.caption(
            "How much of this circuit is chance? The same discovery with other seeds, and without a part of "
            "the task's templates, tells how much the circuits overlap, which edges all of them keep, how "
            "far their quality spreads, and whether a circuit holds on templates that it was not found with."
        )
        request = stability_request(opened.run, other_seeds(opened.request.seed))
        ask_button([request], f"Repeat with {SEEDS} other seeds and held-out templates", "stability-start")
        return
    run = _choose(runs)
    result = run.result
    repeats = (*result.repeats, *result.folds)
    if failed := [repeat for repeat in repeats if repeat.error is not None]:
        st.warning(
            f"{len(failed)} of {len(repeats)} repeats failed; the table says why.", icon=":material/error:"
        )
    _numbers(opened, result)
    if st.session_state.get("stability-metric") not in METRICS:
        st.session_state["stability-metric"] = "kl"
    metric = st.session_state["stability-metric"]
    stamps = [folder.stat().st_mtime_ns for folder in (run.folder, opened.run.folder)]
    drawn = _drawn(opened, run, f"{run.run_id} {stamps}", metric, scheme)
    _figures(drawn, metric, len(result.circuits))
    tables(drawn.repeats, drawn.edges, run.run_id)
    st.caption(
        f"Of the circuit of the size asked for, {opened.run.result.summary.n_edges:,} edges, wherever "
        "the slider stands. A part: some of the task's templates, left out of a discovery that is then "
        "measured on them alone, beside this circuit."
    )
    st.caption(plain(_provenance(opened, run)))
    show_notes([run])


def other_seeds(seed: int) -> list[int]:
    """Return the seeds with which a discovery is repeated."""
    return list(range(seed + 1, seed + 1 + SEEDS))


def repeated(run_id: str) -> list[StabilityRun]:
    """Return the finished repeats of a run, newest first."""
    return [run for run in shelf().of(StabilityInstrument) if run.request.circuit == run_id]


def _choose(finished: list[StabilityRun]) -> StabilityRun:
    """Draw the chooser, where there are several, and return the run to show."""
    runs = {run.run_id: run for run in finished}
    if len(runs) == 1:
        return finished[0]
    if st.session_state.get("stability") not in runs:
        st.session_state["stability"] = finished[0].run_id
    run_id = st.selectbox(
        "Repeated with",
        list(runs),
        key="stability",
        format_func=lambda run_id: f"{_asked(runs[run_id])} · {run_id.rsplit('-', 1)[-1]}",
        persist_state="session",
        width=420,
    )
    return runs[run_id]


def _asked(run: StabilityRun) -> str:
    plan = run.request.stability
    parts = f", templates in {plan.folds} parts" if plan.folds else ""
    return f"seeds {', '.join(map(str, plan.seeds))}{parts}"


def _numbers(opened: Opened, result: StabilityResult) -> None:
    """Draw the four summary numbers, each with a value for comparison."""
    own = opened.run.result.summary
    n = len(result.circuits)
    core, overlap, spread, held_out = st.columns(4, gap="small")
    _metric(
        core,
        "Core",
        f"{result.core:,} edges",
        f"in all {n} circuits; this one has {own.n_edges:,}",
        "Edges that every one of the circuits keeps.",
    )
    others = result.jaccard[0][1:]
    if others:
        chance = "" if result.expected is None else f"{result.expected:.2g} by chance"
        why = "Mean Jaccard index of this circuit's edges and those of each repeat: 1 is the same circuit."
        _metric(overlap, "Overlap with repeats", f"{np.mean(others):.2f}", chance, why)
    seeds = _kl_means(repeat for repeat in result.repeats if not repeat.held_out)
    if seeds:
        why = "Lowest and highest KL to the model of the circuits found with other seeds, in nats."
        this_circuit = f"this circuit {own.kl.mean:.3g}"
        _metric(spread, "KL over seeds (nats)", f"{min(seeds):.2g} – {max(seeds):.2g}", this_circuit, why)
    without = _kl_means(repeat for repeat in result.repeats if repeat.held_out)
    itself = _kl_means(result.folds)
    if without and itself:
        why = "Mean KL on templates that the discovery did not have; this circuit was found with them."
        this_circuit = f"this circuit on them {np.mean(itself):.3g}"
        _metric(held_out, "KL on held-out templates", f"{np.mean(without):.3g}", this_circuit, why)


def _kl_means(repeats: Iterable[Repeat]) -> list[float]:
    """Return the mean KL of every repeat that did not fail."""
    return [repeat.kl.mean for repeat in ok(repeats) if repeat.kl is not None]


def _metric(place: Any, label: str, value: str, beside: str, why: str) -> None:
    place.metric(label, value, beside or None, delta_color="off", delta_arrow="off", help=why)


@dataclass(frozen=True)
class _Drawn:
    """Figures and tables of a repeated discovery; `counts` and `edges` are None where the run lacks them."""

    spread: go.Figure
    overlap: go.Figure
    counts: go.Figure | None
    repeats: pd.DataFrame
    edges: pd.DataFrame | None


@st.cache_resource(
    max_entries=8, show_spinner=False, hash_funcs={Look: lambda scheme: (scheme.mode, scheme.text)}
)
def _drawn(_opened: Opened, _run: StabilityRun, key: str, metric: str, scheme: Look) -> _Drawn:
    """Make the figures and tables, cached: the page is redrawn at every move of the slider.

    Args:
        key: key of the cache, for the runs and the state of their folders.
    """
    result = _run.result
    labels = labels_of(result, _opened.run.run_id)
    names = [labels[run_id] for run_id in result.circuits]
    marks = spread_marks(_opened.run.result.summary, result, metric)
    counts, edges = counts_of(_opened, _run), edges_table(_opened, _run)
    return _Drawn(
        spread_figure(marks, metric, scheme),
        jaccard_figure(names, result.jaccard, result.expected, scheme),
        None if counts is None else frequency_figure(counts, scheme),
        repeats_table(_opened, result),
        edges,
    )


def _figures(drawn: _Drawn, metric: str, n: int) -> None:
    """Draw the figures of `n` circuits."""
    grid = st.grid(3, min_column_width=270, gap="medium", key="stability-grid")
    with grid.cell():
        st.markdown("**How good each is**, with 95 % intervals")
        _choose_metric()
        alt = f"{METRIC_NAMES[metric]} of every repeat with 95 % intervals. The table below lists it."
        plotly_view(drawn.spread, "stability-spread", alt, 150 + 30 * n, bar=False)
    with grid.cell():
        st.markdown("**Overlap of their edges** (Jaccard)")
        alt = "Jaccard index of the edges of every two circuits. The table below has those with this circuit."
        plotly_view(drawn.overlap, "stability-overlap", alt, min(200 + 32 * n, 480), bar=False)
    if drawn.counts is not None:
        with grid.cell():
            st.markdown("**How many circuits keep an edge**")
            alt = "Edges by how many of the circuits keep them. The table of edges below lists them."
            plotly_view(drawn.counts, "stability-frequency", alt, 290, bar=False)


def _choose_metric() -> None:
    st.segmented_control(
        "Metric of the repeats",
        METRICS,
        key="stability-metric",
        format_func=lambda name: METRIC_NAMES[name].split(" (")[0],
        required=True,
        label_visibility="collapsed",
        persist_state="session",
    )


def _provenance(opened: Opened, run: StabilityRun) -> str:
    request, circuit = opened.request, opened.run
    about = f"{model_name(request.model)} · {title_of('task', request.task)} · {found_by(opened)}"
    return (
        f"{about}, {evaluated(circuit)} · seed {request.seed}; repeated with {_asked(run)} · run {run.run_id}"
    )
