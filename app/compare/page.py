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
from app.presentation import page_look
from app.requests import queue
from app.runs import shelf
from app.sweep.form import awaited, sweep_form
from app.sweep.panel import choose_sweep, sweep_view, sweeps

NARROWEST = 430  # px of a picture: less crowds its marks

# After a run that a fragment asked for, as that of the jobs does when the last one ends, Streamlit leaves a
# sidebar standing that is not drawn any more.
NO_SIDEBAR = "<style>[data-testid=stSidebar], [data-testid=stExpandSidebarButton] { display: none; }</style>"

URL = {
    "runs": lambda text: list(state.names_of(text)),
    "edges": int,
    "under": str,
    "metric": str,
    "select": state.names_of,
    "of": str,
    "on": str,
    "with": str,
    "same": str,
    "view": str,
    "sweep": str,
    "task": str,
    "methods": state.names_of,
    "ablations": state.names_of,
    "unit": str,
    "scale": str,
    "paper": lambda text: text == "1",
    "at": int,
    "line": str,
}
VIEWS = {"circuits": "Circuits", "methods": "Methods"}


def page() -> None:
    """Draw the page: circuits side by side, or methods."""
    scheme = page_look()
    if state.read_url("compare", URL, prefix="compare-") and st.session_state.get("compare-sweep"):
        st.session_state.setdefault("compare-view", "methods")
    if (done := awaited()) is not None:
        st.session_state["compare-sweep"], st.session_state["compare-view"] = done, "methods"
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        st.title("Compare", anchor=False, width="content")
        view = _choose_view()
    if view == "methods":
        _methods(scheme)
    else:
        _circuits(scheme)


def _choose_view() -> str:
    if st.session_state.get("compare-view") not in VIEWS:
        st.session_state["compare-view"] = "circuits"
    view = st.segmented_control(
        "What to compare",
        list(VIEWS),
        key="compare-view",
        format_func=VIEWS.__getitem__,
        required=True,
        label_visibility="collapsed",
        persist_state="session",
    )
    return view or "circuits"


def _methods(scheme: Look) -> None:
    """Draw methods side by side: what is chosen and the form on the left, then chart and table."""
    there = shelf()
    with st.sidebar:
        run = choose_sweep(sweeps(there))
        jobs_panel()
        sweep_form(shortcut=True)
    if run is None and any(job.active and job.request.kind == "sweep" for job in queue().jobs()):
        st.info("Methods are being compared; the left side says how far it is.", icon=":material/hourglass:")
    elif run is None:
        st.info(
            "No methods are compared yet. Choose them in the form on the left and press **Compare methods**: "
            "each then runs under every ablation with every seed, and all circuits are measured alike.",
            icon=":material/compare:",
        )
    if run is None:
        state.write_url("compare", {"view": "methods"}, {})
        return
    values, first = sweep_view(run, there, scheme)
    state.write_url("compare", {"view": "methods", "sweep": run.run_id, **values}, first)


def _circuits(scheme: Look) -> None:
    """Draw circuits: what is chosen on top, then the pictures, what they share, and how good they are."""
    _jobs()
    there = shelf()
    if not there.runs:
        st.info(
            "There is no finished run yet. Discover a circuit on the Explore page first.",
            icon=":material/hub:",
        )
        return
    left, right = st.columns([3, 1], gap="medium")
    with left:
        chosen = choose_runs(there)
    with right:
        under = choose_under()
    opened = open_runs(chosen)
    if not opened:
        st.info("Choose two or more runs above to see them side by side.", icon=":material/compare:")
        state.write_url("compare", {"runs": ""}, {})
        return
    size = choose_size(opened)
    compared = side_by_side(opened, size, under, there.label, scheme)
    missing(compared, under)
    if len(compared) == 1:
        st.info("Choose another run above to compare this one with.", icon=":material/compare:")
    metric = _side_by_side(compared, scheme)
    combined_panel(groups(compared), metric, scheme)
    ablations_panel(compared, metric, scheme)
    first = opened[0]
    state.write_url(
        "compare",
        {
            "runs": state.text_of(chosen),
            "edges": size,
            "select": state.text_of(selection()),
            **{
                name: st.session_state.get(f"compare-{name}") or default
                for name, default in _DEFAULTS.items()
            },
            "on": st.session_state.get("compare-on", first.run.run_id),
            "with": st.session_state.get("compare-with", first.request.ablation),
            "same": st.session_state["compare-same"],
        },
        {
            "edges": first.size,
            "select": "",
            **_DEFAULTS,
            "on": first.run.run_id,
            "with": first.request.ablation,
            "same": first.run.run_id,
        },
    )


def _jobs() -> None:
    """Draw the jobs in the sidebar; while there is none to see, the pictures have the whole width."""
    if any(job.active or failure_to_read(job) for job in queue().jobs()):
        with st.sidebar:
            jobs_panel()
    else:
        st.html(NO_SIDEBAR)


_DEFAULTS = {"under": OWN, "metric": "kl", "of": "edges"}


def _side_by_side(compared: list[Compared], scheme: Look) -> str:
    """Draw pictures, overlap, edges, curves and metrics in as many columns as fit; return the metric."""
    shapes = groups(compared)
    group_of = {one.run_id: group for group in shapes for one in group}
    grid = st.grid(
        2 if len(compared) in (2, 4) else 3, min_column_width=NARROWEST, gap="medium", key="compare-grid"
    )
    for place, one in enumerate(compared):
        with grid.cell():
            circuit_graph(one, group_of[one.run_id], place, scheme)
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
