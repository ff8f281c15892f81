"""Metric over edges kept: how small the circuit may be before it stops standing in for the model."""

import math
from typing import Any

import plotly.graph_objects as go

from app.figures.style import Look, base_layout

METRIC_NAMES = {
    "kl": "KL to the model (nats)",
    "faithfulness": "Faithfulness",
    "logit_difference": "Logit difference",
    "probability_difference": "Probability difference",
    "accuracy": "Accuracy",
    "agreement": "Agreement with the model",
}
LEAST_KL = 1e-3  # nats; what is less stands at the foot of the axis
TICKS = {1: "1", 3: "3", 10: "10", 30: "30", 100: "100", 300: "300"}
TICKS |= {1000 * ticks: f"{text}k" for ticks, text in TICKS.items()}


def interval_text(estimate: dict[str, Any]) -> str:
    """Return the 95 % interval of an estimate in words."""
    low, high = estimate["ci95"]
    return "no interval" if low is None or high is None else f"95 %: {low:.3g} – {high:.3g}"


def curve_figure(
    curve: list[dict[str, Any]],
    metric: str,
    scheme: Look,
    at: int | None = None,
    model: float | None = None,
) -> go.Figure:
    """Return the curve of one metric over edges kept (log axis; KL log too) with its 95 % interval as a band.

    Args:
        curve: points `{"edges_requested": …, "n_edges": …, metric: {"mean": …, "ci95": [low, high]}}`.
        metric: which metric to show.
        scheme: colours of the page.
        at: the point to mark, by its `edges_requested`.
        model: the full model's value, drawn as a dashed line.
    """
    points = [point for point in curve if point["n_edges"] > 0 and point[metric]["mean"] is not None]
    floor = LEAST_KL if metric == "kl" else -math.inf
    x = [point["n_edges"] for point in points]
    mean = [max(point[metric]["mean"], floor) for point in points]
    # One prompt alone has no interval.
    banded = [
        (point["n_edges"], *(max(end, floor) for end in point[metric]["ci95"]))
        for point in points
        if None not in point[metric]["ci95"]
    ]
    name = METRIC_NAMES[metric]
    values = [*mean, *(value for _, *ends in banded for value in ends), *([] if model is None else [model])]
    figure = go.Figure(layout=_layout(scheme, name, _kl_axis(values) if metric == "kl" else _axis(values)))
    figure.add_scatter(
        x=[at for at, _, _ in banded] + [at for at, _, _ in reversed(banded)],
        y=[high for _, _, high in banded] + [low for _, low, _ in reversed(banded)],
        fill="toself",
        fillcolor=scheme.fill,
        mode="none",
        hoverinfo="skip",
        name="95 % interval",
    )
    figure.add_scatter(
        x=x,
        y=mean,
        mode="lines+markers",
        name="circuit",
        line={"color": scheme.accent, "width": 2},
        marker={"size": 6, "color": scheme.accent},
        customdata=[point["edges_requested"] for point in points],
        text=[f"<b>{point[metric]['mean']:.3g}</b><br>{interval_text(point[metric])}" for point in points],
        hovertemplate="%{x:,} edges: %{text}<extra></extra>",
    )
    if model is not None:
        figure.add_hline(y=model, line={"color": scheme.muted, "width": 1, "dash": "dash"})
    marked = [i for i, point in enumerate(points) if point["edges_requested"] == at]
    if marked:
        i = marked[0]
        figure.add_vline(x=x[i], line={"color": scheme.ring, "width": 1})
        figure.add_scatter(
            x=[x[i]],
            y=[mean[i]],
            mode="markers",
            name="shown",
            hoverinfo="skip",
            marker={"size": 11, "color": scheme.ground, "line": {"color": scheme.ring, "width": 3}},
        )
    return figure


def _axis(values: list[float]) -> dict[str, Any]:
    """Return a linear axis from 0, or from below it if there are values."""
    low, high = min([0.0, *values]), max([0.0, *values]) or 1.0
    room = 0.06 * (high - low)
    return {"range": [low - (room if low < 0 else 0), high + room], "nticks": 5}


def _kl_axis(values: list[float]) -> dict[str, Any]:
    """Return a log axis: KL falls over orders of magnitude, and what matters happens near 0."""
    ticks = {LEAST_KL: f"≤{LEAST_KL:g}", 0.01: "0.01", 0.1: "0.1", 1: "1", 10: "10"}
    top = math.log10(max([10 * LEAST_KL, *values]))
    return {
        "type": "log",
        "range": [math.log10(LEAST_KL) - 0.1, top + 0.2],
        "tickvals": list(ticks),
        "ticktext": list(ticks.values()),
    }


def _layout(scheme: Look, name: str, y_axis: dict[str, Any]) -> dict[str, Any]:
    quiet = {"size": 12, "color": scheme.muted}
    axis = {"tickfont": quiet, "gridcolor": scheme.band, "zeroline": False, "linecolor": scheme.faint}
    x_axis = {
        "type": "log",
        "title": {"text": "edges in the circuit", "font": quiet, "standoff": 6},
        "tickvals": list(TICKS),
        "ticktext": list(TICKS.values()),
        "tickangle": 0,
        "showline": True,
        "fixedrange": True,
    }
    return base_layout(
        scheme,
        showlegend=False,
        margin={"l": 44, "r": 10, "t": 8, "b": 38},
        hovermode="closest",
        dragmode=False,
        uirevision=name,
        xaxis=axis | x_axis,
        yaxis=axis | y_axis | {"fixedrange": True},
    )
