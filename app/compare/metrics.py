"""The metrics of the circuits as a table, and their curves over all sizes in one chart."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app.compare.choice import Compared, heading
from app.compare.evaluations import unlike
from app.components.plotly_view import plotly_view
from app.figures.curve import METRIC_NAMES, interval_text
from app.figures.curves import curves_figure, marked_series
from app.figures.style import Look
from app.text import plain
from engine.runs.record import Estimate, Measured, Share

METRICS = ("kl", "faithfulness", "logit_difference", "probability_difference", "agreement", "accuracy")


def choose_metric() -> str:
    """Draw the heading of the curves with the switch of their metric, and return the metric."""
    if st.session_state.get("compare-metric") not in METRICS:
        st.session_state["compare-metric"] = "kl"
    with heading("Curves"):
        return st.selectbox(
            "Metric of the curves",
            METRICS,
            format_func=METRIC_NAMES.__getitem__,
            key="compare-metric",
            label_visibility="collapsed",
            persist_state="session",
            width=250,
        )


def metrics_table(compared: list[Compared]) -> None:
    """Draw the metrics of every circuit with intervals, and the button that saves them as a file."""
    heading("Metrics")
    rows = [(side.mark.sign, side.point) for side in compared]
    st.dataframe(
        by_metric(rows),
        hide_index=True,
        alt="Metrics of every circuit with 95 % intervals",
        column_config={"metric": st.column_config.TextColumn(pinned=True)},
    )
    runs = [run for side in compared if (run := side.evaluation.run) is not None]
    if differing := unlike(runs):
        st.caption(f":material/info: Not measured alike: {plain(', '.join(differing))}.")
    st.download_button(
        "Metrics as CSV",
        lambda: tidy(compared).to_csv(index=False),
        "comparison.csv",
        "text/csv",
        key="compare-csv",
        icon=":material/download:",
        help="One row for every circuit and metric, with mean, interval and where it comes from",
        on_click="ignore",
    )


def curves_chart(compared: list[Compared], metric: str, scheme: Look) -> None:
    """Draw the curves of all runs that are evaluated."""
    series, full = [], set()
    for side in compared:
        if (run := side.evaluation.run) is not None:
            series.append(marked_series(side.mark, side.name, run.result.curve, scheme, side.size))
            full.add(run.result.model.metric(metric).mean if metric == run.result.metric else None)
    if not series:
        st.info("None of the runs is evaluated under this ablation yet. Start it above.")
        return
    model = next(iter(full)) if len(full) == 1 else None
    figure = curves_figure(series, metric, scheme, model)
    alt = (
        f"{METRIC_NAMES[metric]} over edges kept of {len(series)} runs. The table beside it has the numbers."
    )
    plotly_view(figure, "compare-curves", alt, 300 + 19 * len(series), on_event=_on_curve)
    st.caption(
        "Bands are 95 % intervals over prompts; the ringed points are the circuits shown. Click a point to "
        "show circuits of its size." + (" Dashed: the full model." if model is not None else "")
    )


def by_circuit(rows: Sequence[tuple[str, Measured | None]], first: str) -> pd.DataFrame:
    """Return the table of `by_metric` transposed: one row per circuit, its name in the column `first`."""
    return by_metric(rows).set_index("metric").T.rename_axis(index=first, columns=None).reset_index()


def by_metric(rows: Sequence[tuple[str, Measured | None]]) -> pd.DataFrame:
    """Return metrics as text, one row per metric and one column per circuit.

    Args:
        rows: name and metrics of each circuit; None for a circuit that is not measured.
    """
    table: dict[str, list[str]] = {"metric": ["Edges", *(METRIC_NAMES[metric] for metric in METRICS)]}
    for name, point in rows:
        if point is None:
            table[name] = ["–"] * (1 + len(METRICS))
        else:
            table[name] = [f"{point.n_edges:,}", *(estimate_text(point.metric(metric)) for metric in METRICS)]
    return pd.DataFrame(table)


def estimate_text(estimate: Estimate | Share) -> str:
    """Return an estimate with its interval: "0.036 (0.031 – 0.042)"."""
    if estimate.mean is None:
        return "undefined"
    interval = interval_text(estimate).removeprefix("95 %: ")
    return f"{estimate.mean:.3g} ({interval})"


def tidy(compared: list[Compared]) -> pd.DataFrame:
    """Return every metric of every circuit as numbers, one row per circuit and metric."""
    rows = []
    for side in compared:
        point, run, request = side.point, side.evaluation.run, side.opened.request
        if point is None or run is None:
            continue
        about = {
            "letter": side.mark.letter,
            "run": side.run_id,
            "evaluation": run.run_id,
            "model": request.model,
            "task": request.task,
            "method": next(iter(request.facets()["method"]), None),
            "found_under": request.ablation,
            "evaluated_under": run.request.ablation,
            "edges": point.n_edges,
            "edges_total": point.n_edges_total,
        }
        rows += [about | metric_columns(metric, point.metric(metric)) for metric in METRICS]
    return pd.DataFrame(rows)


def metric_columns(metric: str, estimate: Estimate | Share) -> dict[str, Any]:
    """Return one estimate as columns of a tidy table."""
    low, high = estimate.ci95
    return {"metric": metric, "mean": estimate.mean, "low": low, "high": high, "prompts": estimate.n}


def _on_curve(event: dict[str, Any]) -> None:
    if event["kind"] == "click":
        st.session_state["compare-edges"] = event["id"]
