"""Compare: how do two methods, ablations, tasks or seeds differ?

Circuits are compared edge by edge; methods by how good their circuits of every size are.
"""

import streamlit as st

from app import state
from app.compare.ablations import ablations_panel
from app.compare.choice import (
    Compared,
    choose_runs,
    choose_size,
    choose_under,
    groups,
    missing,
    open_runs,
    side_by_side,
)
from app.compare.combined import combined_panel
from app.compare.evaluations import OWN
from app.compare.graphs import circuit_graph, edge_table, selection
from app.compare.metrics import choose_metric, curves_chart, metrics_table
from app.compare.overlap import overlap_panel
from app.figures.style import Look
from app.parts.jobs import failure_to_read, jobs_panel
from app.parts.options import choose_option
from app.presentation import page_look
from app.requests import queue
from app.runs import shelf
from app.sweep.form import awaited, sweep_form
from app.sweep.panel import SWEEP, choose_sweep, sweep_view, sweeps
from engine.instruments.sweep.request import Sweep

NARROWEST = 430  # px of a picture: less crowds its marks

# After a run that a fragment asked for, as that of the jobs does when the last one ends, Streamlit leaves a
# sidebar standing that is not drawn any more.
NO_SIDEBAR = "<style>[data-testid=stSidebar], [data-testid=stExpandSidebarButton] { display: none; }</style>"

VIEW = state.Parameter("view", default="circuits")
RUNS = state.Parameter("runs", lambda text: list(state.names_of(text)), state.text_of)
CIRCUITS = (
    VIEW,
    RUNS,
    state.Parameter("edges", int, str),
    state.Parameter("under", default=OWN),
    state.Parameter("metric", default="kl"),
    state.Parameter("select", state.names_of, state.text_of, default=()),
    state.Parameter("of", default="edges"),
    state.Parameter("on"),
    state.Parameter("with"),
    state.Parameter("same"),
)
METHODS = (VIEW, *SWEEP)
EITHER = (*CIRCUITS, *(parameter for parameter in METHODS if parameter not in CIRCUITS))
VIEWS = {"circuits": "Circuits", "methods": "Methods"}


def page() -> None:
    """Draw the page: circuits side by side, or methods."""
    scheme = page_look()
    if state.take_address("compare", EITHER, prefix="compare-") and st.session_state.get("compare-sweep"):
        st.session_state.setdefault("compare-view", "methods")
    if (done := awaited()) is not None:
        st.session_state["compare-sweep"], st.session_state["compare-view"] = done, "methods"
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        st.title("Compare", anchor=False, width="content")
        view = choose_option(
            "What to compare", "compare-view", list(VIEWS), VIEWS.__getitem__, label_visibility="collapsed"
        )
    if view == "methods":
        _methods(scheme)
    else:
        _circuits(scheme)


def _methods(scheme: Look) -> None:
    """Draw methods side by side: choosers and form on the left, then chart and table."""
    current_shelf = shelf()
    with st.sidebar:
        run = choose_sweep(sweeps(current_shelf))
        jobs_panel()
        sweep_form(shortcut=True)
    if run is None and any(job.active and isinstance(job.request, Sweep) for job in queue().jobs()):
        st.info("Methods are being compared; the left side says how far it is.", icon=":material/hourglass:")
    elif run is None:
        st.info(
            "No methods are compared yet. Choose them in the form on the left and press **Compare methods**: "
            "each then runs under every ablation with every seed, and all circuits are measured alike.",
            icon=":material/compare:",
        )
    if run is None:
        state.put_address("compare", (VIEW,), prefix="compare-")
        return
    first, hidden = sweep_view(run, current_shelf, scheme)
    state.put_address("compare", METHODS, prefix="compare-", defaults=first, hidden=hidden)


def _circuits(scheme: Look) -> None:
    """Draw circuits side by side: choosers on top, then pictures, overlaps and metrics."""
    _jobs()
    current_shelf = shelf()
    if not current_shelf.runs:
        st.info(
            "There is no finished run yet. Discover a circuit on the Explore page first.",
            icon=":material/hub:",
        )
        return
    left, right = st.columns([3, 1], gap="medium")
    with left:
        chosen = choose_runs(current_shelf)
    with right:
        under = choose_under()
    opened = open_runs(chosen)
    if not opened:
        st.info("Choose two or more runs above to see them side by side.", icon=":material/compare:")
        state.put_address("compare", (RUNS,), prefix="compare-", values={"runs": []})
        return
    size = choose_size(opened)
    compared = side_by_side(opened, size, under, current_shelf.label, scheme)
    missing(compared, under)
    if len(compared) == 1:
        st.info("Choose another run above to compare this one with.", icon=":material/compare:")
    metric = _side_by_side(compared, scheme)
    combined_panel(groups(compared), metric, scheme)
    ablations_panel(compared, metric, scheme)
    first = opened[0]
    own = {
        "edges": first.size,
        "on": first.run.run_id,
        "with": first.request.ablation,
        "same": first.run.run_id,
    }
    state.put_address(
        "compare",
        CIRCUITS,
        prefix="compare-",
        defaults=own,
        values={"runs": chosen, "edges": size, "select": selection()},
    )


def _jobs() -> None:
    """Draw the jobs in the sidebar, if there are any; otherwise the pictures have the whole width."""
    if any(job.active or failure_to_read(job) for job in queue().jobs()):
        with st.sidebar:
            jobs_panel()
    else:
        st.html(NO_SIDEBAR)


def _side_by_side(compared: list[Compared], scheme: Look) -> str:
    """Draw pictures, overlap, edges, curves and metrics in as many columns as fit; return the metric."""
    shapes = groups(compared)
    group_of = {side.run_id: group for group in shapes for side in group}
    grid = st.grid(
        2 if len(compared) in (2, 4) else 3, min_column_width=NARROWEST, gap="medium", key="compare-grid"
    )
    for place, side in enumerate(compared):
        with grid.cell():
            circuit_graph(side, group_of[side.run_id], place, scheme)
    if len(compared) > 1:
        with grid.cell():
            overlap_panel(shapes, compared, scheme)
    with grid.cell():
        edge_table(shapes)
    with grid.cell(column_span="all" if len(compared) == 4 else 1):
        metric = choose_metric()
        curves_chart(compared, metric, scheme)
    with grid.cell(column_span=1 if len(compared) == 2 else "all"):
        metrics_table(compared)
    return metric


page()
