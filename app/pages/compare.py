"""Compare: how do two methods, ablations, tasks or seeds differ?"""

import streamlit as st

from app import state
from app.data import shelf
from app.panels.compare_choice import (
    choose_runs,
    choose_size,
    choose_under,
    groups,
    missing,
    open_runs,
    side_by_side,
)
from app.panels.compare_evaluations import OWN
from app.panels.compare_graphs import edge_table, graphs
from app.panels.compare_metrics import choose_metric, curves_chart, metrics_table
from app.panels.compare_overlap import overlap_panel
from app.panels.jobs import jobs_panel
from app.presentation import page_look

URL = {
    "runs": lambda text: list(state.names_of(text)),
    "edges": int,
    "under": str,
    "metric": str,
    "select": state.names_of,
    "of": str,
}


def page() -> None:
    """Draw the page: what is chosen on top, pictures, then what they have in common and how good they are."""
    scheme = page_look()
    state.read_url("compare", URL, prefix="compare-")
    with st.sidebar:
        jobs_panel()
    st.title("Compare", anchor=False)
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
    shapes = groups(compared)
    missing(compared, under)
    graphs(shapes, compared, scheme)
    if len(compared) == 1:
        st.info("Choose another run above to compare this one with.", icon=":material/compare:")
    left, right = st.columns(2, gap="medium")
    with left:
        if len(compared) > 1:
            overlap_panel(shapes, compared, scheme)
    with right:
        edge_table(shapes)
    left, right = st.columns(2, gap="medium")
    with left:
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.subheader("Curves", anchor=False, width="content")
            metric = choose_metric()
        curves_chart(compared, metric, scheme)
    with right:
        metrics_table(compared)
    state.write_url(
        "compare",
        {
            "runs": ",".join(chosen),
            "edges": size,
            "under": under,
            "metric": metric,
            "select": ",".join(st.session_state.get("compare-select", ())),
            "of": st.session_state.get("compare-of", "edges"),
        },
        {
            "edges": opened[0].size,
            "under": OWN,
            "metric": "kl",
            "select": "",
            "of": "edges",
        },
    )


page()
