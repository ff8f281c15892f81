"""The panel of one circuit under every ablation: how much its metrics depend on the ablation."""

import streamlit as st

from app.compare.choice import Compared
from app.compare.evaluations import CurveRun, evaluation, missing_evaluations
from app.compare.metrics import by_circuit
from app.components.plotly_view import plotly_view
from app.figures.curve import METRIC_NAMES
from app.figures.curves import curves_figure, marked_series
from app.figures.marks import run_mark
from app.figures.style import Look
from engine.ablations.base import ablations


def ablations_panel(compared: list[Compared], metric: str, scheme: Look) -> None:
    """Draw the metrics of one of the circuits under every ablation, and the button for the missing ones."""
    st.subheader("One circuit under every ablation", anchor=False)
    left, right = st.columns(2, gap="medium")
    with left:
        side = _choose(compared)
    evaluations = {
        name: evaluation(side.opened, name, ablations.get(name).title) for name in ablations.names()
    }
    missing_evaluations(list(evaluations.values()), "compare-evaluate-one", f"for {side.mark.sign}")
    runs = {name: measured.run for name, measured in evaluations.items() if measured.run is not None}
    titles = {name: _title(run, name == side.opened.request.ablation) for name, run in runs.items()}
    left, right = st.columns(2, gap="medium")
    with left:
        series = [
            marked_series(run_mark(place, scheme), titles[name], run.result.curve, scheme, side.size)
            for place, (name, run) in enumerate(runs.items())
        ]
        alt = f"{METRIC_NAMES[metric]} over edges kept under every ablation. The table has the numbers."
        plotly_view(curves_figure(series, metric, scheme), "compare-ablations", alt, 300 + 19 * len(series))
    with right:
        rows = [(titles[name], run.result.point_at(side.size)) for name, run in runs.items()]
        st.dataframe(
            by_circuit(rows, "ablation"),
            hide_index=True,
            height="content",
            alt=f"Metrics of circuit {side.mark.letter} under every ablation",
            column_config={
                "ablation": st.column_config.TextColumn(pinned=True),
            },
        )
        numbers = ", ".join(run.run_id for run in runs.values())
        n, split = side.opened.run.result.summary.kl.n, side.opened.request.split
        st.caption(
            f"{side.mark.sign}: the same {side.circuit.n_edges:,} edges are kept, only what stands in for "
            f"the others changes; {n} prompts of the {split} split. In brackets: one constant per position, "
            f"or one shared by all. Runs {numbers}."
        )


def _choose(compared: list[Compared]) -> Compared:
    sides = {side.run_id: side for side in compared}
    if st.session_state.get("compare-same") not in sides:
        st.session_state["compare-same"] = compared[0].run_id
    run_id = st.selectbox(
        "Circuit of",
        list(sides),
        key="compare-same",
        format_func=lambda run_id: sides[run_id].name,
        persist_state="session",
    )
    return sides[run_id]


def _title(run: CurveRun, own: bool) -> str:
    """Return the title of an ablation with its conditioning (constants per position or shared)."""
    title, conditioning = ablations.get(run.request.ablation).title, run.result.conditioning
    notes = [*([] if conditioning == "none" else [conditioning]), *(["as found"] if own else [])]
    return f"{title} ({', '.join(notes)})" if notes else title
