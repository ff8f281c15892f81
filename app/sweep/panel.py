"""The panel of a sweep: chart, table, and buttons that open the circuits of a point."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.compare.choice import heading
from app.components.plotly_view import plotly_view
from app.figures.curve import METRIC_NAMES
from app.figures.style import Look
from app.parts.notes import show_notes
from app.runs import Shelf, own_title, run_title, told_apart
from app.state import Parameter, names_of, text_of
from app.sweep.figures.axes import Curve
from app.sweep.figures.pareto import pareto_figure
from app.sweep.lines import Line, curves_of, lines_of, split_key, tidy
from app.sweep.paper import ANOTHER_MODEL, choose_paper, paper_table
from app.sweep.table import choose_size, first_size, lines_table, open_circuit, sizes_of
from app.text import plain
from engine.instruments.sweep.instrument import SweepInstrument
from engine.instruments.sweep.request import Sweep
from engine.instruments.sweep.result import SweepResult, SweepRow
from engine.instruments.words import model_name, title_of
from engine.runs.folder import Run

SweepRun = Run[Sweep, SweepResult]

METRICS = ("kl", "faithfulness")
UNITS = {"share": "% of edges", "edges": "Edges"}
MOST_AT_FIRST = 10  # lines that a first look takes in
SCALES = {"log": "Log", "linear": "Linear"}
NAMES = (lambda text: list(names_of(text)), text_of)  # a list of names, as the address has it
SWEEP = (
    Parameter("sweep"),
    Parameter("task"),
    Parameter("methods", *NAMES),
    Parameter("ablations", *NAMES),
    Parameter("metric", default="kl"),
    Parameter("unit", default="share"),
    Parameter("scale", default="log"),
    Parameter("paper", lambda text: text == "1", lambda shown: "1" if shown else "", default=False),
    Parameter("at", int, str),
    Parameter("line", default=""),
)
DEFAULTS = {parameter.name: parameter.default for parameter in SWEEP}


def sweeps(shelf: Shelf) -> dict[str, SweepRun]:
    """Return the finished sweeps by id, shipped ones first, then the newest."""
    runs = sorted(shelf.of(SweepInstrument), key=lambda run: not run.shipped)
    return {run.run_id: run for run in runs}


def choose_sweep(runs: dict[str, SweepRun]) -> SweepRun | None:
    """Draw the chooser of a sweep and return it; None if there is none."""
    if not runs:
        return None
    if st.session_state.get("compare-sweep") not in runs:
        if "compare-sweep" in st.session_state:
            gone = plain(st.session_state["compare-sweep"][:80])
            st.warning(f"There is no comparison '{gone}' here. This is another one.")
        st.session_state["compare-sweep"] = next(iter(runs))
    labels = told_apart({run_id: own_title(run) or run_title(run.request) for run_id, run in runs.items()})
    run_id = st.selectbox(
        "Comparison",
        list(runs),
        key="compare-sweep",
        format_func=labels.__getitem__,
        persist_state="session",
    )
    return runs[run_id]


def sweep_view(run: SweepRun, shelf: Shelf, scheme: Look) -> tuple[dict[str, Any], list[str]]:
    """Draw a sweep: chart, table, and buttons for the circuits of the selected line.

    Returns:
        Default values of the address's parameters, by name, and the names of parameters that this view does
        not use.
    """
    rows, total = run.result.rows, run.result.n_edges_total
    task, metric, lines, shown = _choose(rows, total)
    title = heading(f"{METRIC_NAMES[metric]} over edges: {plain(title_of('task', task))}")
    with title.container(horizontal=True, width="content"):
        unit = _switch("unit", UNITS)
        scale = _switch("scale", SCALES)
    paper = choose_paper(task, metric, shown, lines, scheme)
    curves = curves_of(lines, shown, metric, scheme)
    if any(curve.spots for curve in curves):
        figure = pareto_figure(
            curves, metric, scheme, shares=unit == "share", log=scale == "log", published=paper
        )
        entries = sum(
            len({curve.method for curve in legend} | {curve.ablation for curve in legend})
            for legend in (curves, paper)
        )
        alt = f"{METRIC_NAMES[metric]} over edges kept of {len(curves)} curves. The table below lists them."
        plotly_view(
            figure, "compare-pareto", alt, max(430, 130 + 23 * entries), ratio=0.36, on_event=_on_point
        )
    else:
        st.info("Nothing of these was measured; the table says why.", icon=":material/info:")
    _captions(run, shown or lines, paper)
    sizes = sizes_of(lines)
    if sizes and shown:
        size = choose_size(sizes, total)
        lines_table(shown, size)
        open_circuit(shown, size, shelf, run.request)
    st.download_button(
        "Everything as CSV",
        lambda: tidy(rows, total).to_csv(index=False),
        f"{run.run_id}.csv",
        "text/csv",
        key="compare-sweep-csv",
        icon=":material/download:",
        help="One row for every circuit of every discovery, of all tasks, with intervals over prompts",
        on_click="ignore",
    )
    if paper:
        paper_table(paper)
    first = {"task": rows[0].task, "at": first_size(sizes, total) if sizes else None}
    return first | first_filters(lines), [] if sizes else ["at"]


def _choose(rows: Sequence[SweepRow], total: int) -> tuple[str, str, list[Line], list[Line]]:
    """Draw the choosers; return the task, the metric, the task's lines, and the lines shown."""
    places = st.columns([1, 1.1, 1.5, 1.4], gap="small")
    tasks: list[str] = list(dict.fromkeys(row.task for row in rows))
    if st.session_state.get("compare-task") not in tasks:
        st.session_state["compare-task"] = tasks[0]
    task: str = places[0].selectbox(
        "Task",
        tasks,
        index=0,
        key="compare-task",
        format_func=lambda name: title_of("task", name),
        persist_state="session",
    )
    if st.session_state.get("compare-metric") not in METRICS:
        st.session_state["compare-metric"] = "kl"
    metric = places[1].selectbox(
        "Metric",
        METRICS,
        key="compare-metric",
        format_func=METRIC_NAMES.__getitem__,
        persist_state="session",
    )
    lines = lines_of(rows, task, total)
    chosen = {}
    for place, name in zip(places[2:], ("method", "ablation"), strict=True):
        choices = list(dict.fromkeys(getattr(line, name) for line in lines))
        key = f"compare-{name}s"
        wanted = st.session_state.get(key, first_filters(lines)[f"{name}s"])
        st.session_state[key] = [value for value in wanted if value in choices]
        chosen[name] = place.multiselect(
            f"{name.capitalize()}s",
            choices,
            key=key,
            format_func=lambda value, name=name: title_of(name, value),
            placeholder=f"All {len(choices)}",
            wrap=True,
            persist_state="session",
        )
    shown = [
        line
        for line in lines
        if all(getattr(line, name) in wanted for name, wanted in chosen.items() if wanted)
    ]
    return task, metric, lines, shown


def first_filters(lines: Sequence[Line]) -> dict[str, list[str]]:
    """Return the default filters, [] for everything: with very many lines, only the first ablation."""
    return {"methods": [], "ablations": [lines[0].ablation] if len(lines) > MOST_AT_FIRST else []}


def _switch(name: str, options: dict[str, str]) -> str:
    key = f"compare-{name}"
    if st.session_state.get(key) not in options:
        st.session_state[key] = DEFAULTS[name]
    chosen = st.segmented_control(
        name,
        list(options),
        key=key,
        format_func=options.__getitem__,
        required=True,
        label_visibility="collapsed",
        persist_state="session",
        width="content",
    )
    return chosen or DEFAULTS[name]


def _captions(run: SweepRun, shown: Sequence[Line], paper: Sequence[Curve]) -> None:
    several = max((len(line.succeeded) for line in shown), default=0) > 1
    band = "mean over seeds, bands from the lowest to the highest" if several else "bands are 95 % intervals"
    words = [f"Lines: circuits of the highest scores, {band}; grey: random scores."]
    if any(row.path for line in shown for row in line.succeeded):
        words.append("Open marks: circuits that the method chose itself, at a price of an edge.")
    words.append("Click a point to open its circuits below.")
    st.caption(" ".join(words))
    if paper:
        st.caption(ANOTHER_MODEL)
    elif st.session_state.get("compare-paper"):
        st.caption("The paper has nothing under the ablations shown.")
    conditionings = {row.conditioning for line in shown for row in line.succeeded}
    if len(conditionings - {"none"}) > 1:
        st.caption(
            ":material/info: Two conditionings in one chart, told apart by dashes: one constant for every "
            "position, and one shared by all. A shared constant cannot follow the position, so what lies "
            "between them is not between ablations or methods alone."
        )
    failed = [row for line in shown for row in line.rows if row.error is not None]
    if failed:
        n = sum(len(line.rows) for line in shown)
        st.warning(f"{len(failed)} of {n} discoveries failed; the table says why.", icon=":material/error:")
    show_notes([run])
    st.caption(plain(_provenance(run, shown)))


def _provenance(run: SweepRun, lines: Sequence[Line]) -> str:
    request = run.request
    points = [point for line in lines for row in line.succeeded for point in row.points]
    counts = sorted({point.kl.n for point in points})
    prompts = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}" if counts else "no"
    seeds = ", ".join(map(str, sorted({row.seed for line in lines for row in line.rows})))
    methods = ", ".join(dict.fromkeys(line.method_title for line in lines))
    under = ", ".join(dict.fromkeys(line.ablation_title for line in lines))
    task = title_of("task", lines[0].rows[0].task)
    return (
        f"{model_name(request.model)} · {task} · {methods} · found and evaluated under {under} on {prompts} "
        f"prompts of the {request.split} split · seeds {seeds} · run {run.run_id}"
    )


def _on_point(event: dict[str, Any]) -> None:
    """Select the line and size of the clicked point; published points have neither."""
    if event["kind"] != "click" or not event["id"]:
        return
    st.session_state["compare-line"], size = split_key(event["id"])
    if size:  # a circuit that the method chose itself has none
        st.session_state["compare-at"] = size
