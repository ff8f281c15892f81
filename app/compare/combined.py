"""Circuits made of the compared ones: their intersection, their union, and the edges that only one has.

The case study of Edge Pruning (Bhaskar et al. 2024, section 5): circuits for one task asked in two ways share
most of their edges, and the shared ones are measured as a circuit of their own.
"""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from app.compare.choice import Compared
from app.compare.evaluations import evaluation, unlike
from app.compare.metrics import by_circuit
from app.components.plotly_view import plotly_view
from app.figures.curve import METRIC_NAMES
from app.figures.curves import Single, curves_figure, marked_series
from app.figures.style import Look
from app.requests import being_made, finished, measure_request, start
from app.runs import evaluated, store
from app.text import plain
from engine.ablations.base import ablations
from engine.circuits.graph import Graph
from engine.instruments.measure.request import Measure
from engine.instruments.measure.result import MeasureResult
from engine.runs.combine import Chosen, Part, chosen_edges, combinations
from engine.runs.folder import Run

MeasureRun = Run[Measure, MeasureResult]


@dataclass(frozen=True)
class Combined:
    """One of the combined circuits.

    Attributes:
        chosen: the circuits it is made of; its name does not depend on the letters.
        name: its name on the page.
        short: the label beside its mark.
        colour, symbol: of its mark.
    """

    chosen: Chosen
    name: str
    short: str
    colour: str
    symbol: str


def combined_panel(groups: list[list[Compared]], metric: str, scheme: Look) -> None:
    """Draw the circuits that can be made of runs of one graph, and the button that measures them."""
    st.subheader("Circuits made of these", anchor=False)
    group = next((group for group in groups if len(group) > 1), None)
    if group is None:
        st.caption(
            "Choose two runs of one model: what they share can then be measured as a circuit of its own."
        )
        return
    circuits = combinations_of(group, scheme)
    on, under = _choose(group)
    chosen = combinations(_parts(group))
    request = measure_request(on.opened.run, under, chosen)
    run = finished(request)
    left, right = st.columns(2, gap="medium")
    with left:
        if run is None:
            _not_measured(request, len(circuits))
        else:
            _chart(group, circuits, run, on, under, metric, scheme)
    with right:
        _table(circuits, group[0].opened.graph, run)


def combinations_of(group: list[Compared], scheme: Look) -> list[Combined]:
    """Return the circuits to measure: intersection, union, then each circuit and the edges of it alone."""
    chosen = {circuit.name: circuit for circuit in combinations(_parts(group))}
    shared = "both" if len(group) == 2 else f"all {len(group)}"
    circuits = [
        Combined(chosen["in all"], f"in {shared} (∩)", f"in {shared}", scheme.ink, "hexagon"),
        Combined(chosen["in any"], "in any (∪)", "in any", scheme.ink, "hexagon2"),
    ]
    for side in group:
        mark, run_id = side.mark, side.run_id
        alone, only = chosen[run_id], chosen[f"only {run_id}"]
        circuits += [
            Combined(alone, f"{mark.sign}, the whole", mark.letter, mark.colour, mark.symbol),
            Combined(
                only, f"only in {mark.letter}", f"only {mark.letter}", mark.colour, f"{mark.symbol}-open"
            ),
        ]
    return circuits


def _parts(group: list[Compared]) -> list[Part]:
    return [Part(run=side.run_id, edges=side.size) for side in group]


def _choose(group: list[Compared]) -> tuple[Compared, str]:
    """Draw the choosers of task and ablation; return the run whose task is taken, and the ablation."""
    sides = {side.run_id: side for side in group}
    if st.session_state.get("compare-on") not in sides:
        st.session_state["compare-on"] = group[0].run_id
    if st.session_state.get("compare-with") not in ablations.names():
        st.session_state["compare-with"] = group[0].opened.request.ablation
    left, right = st.columns(2, gap="medium")
    on = left.selectbox(
        "Measured on the task of",
        list(sides),
        key="compare-on",
        format_func=lambda run_id: sides[run_id].name,
        help="The task, the prompts and the model of this run.",
        persist_state="session",
    )
    under = right.selectbox(
        "Measured under",
        ablations.names(),
        key="compare-with",
        format_func=lambda name: ablations.get(name).title,
        help="The ablation that stands in for the edges outside a circuit.",
        persist_state="session",
    )
    return sides[on], under


def _not_measured(request: Measure, n: int) -> None:
    if being_made(request):
        st.info("Being measured.", icon=":material/hourglass:")
        return
    st.caption(
        "What all of them share, what any of them has and what one has alone, pruned of dangling edges: "
        "each can be measured as a circuit of its own."
    )
    st.button(
        f"Measure these {n} circuits",
        key="compare-measure",
        icon=":material/play_arrow:",
        on_click=start,
        args=([request],),
    )


def _chart(
    group: list[Compared],
    circuits: list[Combined],
    run: MeasureRun,
    on: Compared,
    under: str,
    metric: str,
    scheme: Look,
) -> None:
    """Draw the circuits as marks, among the curves of the runs on the same task."""
    marks = [
        Single(
            circuit.name,
            circuit.short,
            run.result.named(circuit.chosen.name),
            circuit.colour,
            circuit.symbol,
        )
        for circuit in circuits
    ]
    series = []
    for side in group:
        measured = evaluation(side.opened, under, side.mark.sign).run
        # Only curves that were measured just like the marks stand among them.
        if measured is not None and not unlike([run, measured]):
            series.append(marked_series(side.mark, side.name, measured.result.curve, scheme))
    figure = curves_figure(series, metric, scheme, points=marks)
    alt = f"{METRIC_NAMES[metric]} of circuits made of others. The table beside it has the numbers."
    plotly_view(figure, "compare-combined", alt, 320 + 19 * len(series))
    words = " The curves are the circuits of every size of the runs found for this task." if series else ""
    st.caption(plain(f"On the task of {on.mark.sign}, {evaluated(run)} · run {run.run_id}.{words}"))


def _table(circuits: list[Combined], graph: Graph, run: MeasureRun | None) -> None:
    if run is None:
        sizes = _sizes(graph, tuple(circuit.chosen.model_dump_json() for circuit in circuits))
        names = [circuit.name for circuit in circuits]
        table = {"circuit": names, "Edges": [f"{size:,}" for size in sizes]}
    else:
        points = {circuit.name: run.result.named(circuit.chosen.name) for circuit in circuits}
        sizes = [point.n_edges for point in points.values()]
        table = by_circuit(list(points.items()), "circuit")
    st.dataframe(
        table,
        hide_index=True,
        height="content",
        alt="Circuits made of others, with their sizes and metrics",
        column_config={
            "circuit": st.column_config.TextColumn(pinned=True),
        },
    )
    if 0 in sizes:
        st.caption(
            ":material/info: 0 edges: what is left is on no path from the input to the logits. That is the "
            "same as ablating everything."
        )


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs={Graph: repr})
def _sizes(graph: Graph, circuits: tuple[str, ...]) -> list[int]:
    """Return how many edges each circuit has; cached, since every part has to be read from its run."""
    chosen = [Chosen.model_validate_json(circuit) for circuit in circuits]
    return [int(np.sum(chosen_edges(circuit, graph, store()))) for circuit in chosen]
