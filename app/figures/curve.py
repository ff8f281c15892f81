"""The curve of a metric over edges kept."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from app.figures.style import Look, base_layout, escape
from engine.runs.record import Estimate, Point, Share

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


def interval_text(estimate: Estimate | Share) -> str:
    """Return the 95 % interval of an estimate as text."""
    low, high = estimate.ci95
    return "no interval" if low is None or high is None else f"95 %: {low:.3g} – {high:.3g}"


def number_text(estimate: Estimate | Share, form: str = ".3g") -> str:
    """Return the mean of an estimate as text; "undefined" if there is none."""
    return "undefined" if estimate.mean is None else format(estimate.mean, form)


def mean_of(estimate: Estimate | Share) -> float:
    """Return the mean of an estimate; nan if it is not defined."""
    return math.nan if estimate.mean is None else estimate.mean


@dataclass(frozen=True)
class Series:
    """One curve of a chart.

    Attributes:
        name: name of its trace and of its entry in the legend.
        curve: its points.
        colour, fill: of the line and of its band.
        symbol, dash: of its marks and of its line.
        at: the point to mark, by its `edges_requested`.
    """

    name: str
    curve: Sequence[Point]
    colour: str
    fill: str
    symbol: str = "circle"
    dash: str = "solid"
    at: int | None = None

    def points(self, metric: str) -> list[Point]:
        """Return the points where there is a circuit and the metric is defined."""
        return [point for point in self.curve if point.n_edges > 0 and point.metric(metric).mean is not None]


def curve_figure(
    curve: Sequence[Point],
    metric: str,
    scheme: Look,
    at: int | None = None,
    model: float | None = None,
) -> go.Figure:
    """Return the curve of one metric over edges kept (log axis; KL log too) with its 95 % interval as a band.

    Args:
        curve: its points.
        metric: which metric to show.
        scheme: colours of the page.
        at: the point to mark, by its `edges_requested`.
        model: the full model's value, drawn as a dashed line.
    """
    series = Series("circuit", curve, scheme.accent, scheme.fill, at=at)
    estimates = [point.metric(metric) for point in series.points(metric)]
    figure = go.Figure(layout=chart_layout(estimates, metric, scheme, model))
    add_series(figure, series, metric, scheme)
    return figure


def add_series(figure: go.Figure, series: Series, metric: str, scheme: Look, label: str = "") -> None:
    """Draw a curve with its band, and the mark of the point `series.at`.

    Args:
        label: a first line of every hover text.
    """
    points, group = series.points(metric), escape(series.name)
    x = [point.n_edges for point in points]
    mean = [height(mean_of(point.metric(metric)), metric) for point in points]
    # One prompt alone has no interval.
    banded: list[tuple[int, float, float]] = []
    for point in points:
        low, high = point.metric(metric).ci95
        if low is not None and high is not None:
            banded.append((point.n_edges, height(low, metric), height(high, metric)))
    figure.add_scatter(
        x=[at for at, _, _ in banded] + [at for at, _, _ in reversed(banded)],
        y=[high for _, _, high in banded] + [low for _, low, _ in reversed(banded)],
        fill="toself",
        fillcolor=series.fill,
        mode="none",
        hoverinfo="skip",
        name="95 % interval",
        legendgroup=group,
        showlegend=False,
    )
    first = f"{escape(label)}<br>" if label else ""
    figure.add_scatter(
        x=x,
        y=mean,
        mode="lines+markers",
        name=group,
        legendgroup=group,
        line={"color": series.colour, "width": 2, "dash": series.dash},
        marker={"size": 6, "color": series.colour, "symbol": series.symbol},
        customdata=[point.edges_requested for point in points],
        text=[
            f"<b>{point.metric(metric).mean:.3g}</b><br>{interval_text(point.metric(metric))}"
            for point in points
        ],
        hovertemplate=f"{first}%{{x:,}} edges: %{{text}}<extra></extra>",
    )
    marked = [i for i, point in enumerate(points) if point.edges_requested == series.at]
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
            legendgroup=group,
            showlegend=False,
        )


def height(value: float, metric: str) -> float:
    """Return the position of a metric's value on its axis; the log axis of KL ends at `LEAST_KL`."""
    return max(value, LEAST_KL) if metric == "kl" else value


def chart_layout(
    estimates: Sequence[Estimate | Share], metric: str, scheme: Look, model: float | None = None
) -> dict[str, Any]:
    """Return the layout of a chart of a metric over edges kept.

    Args:
        estimates: all estimates drawn; the axis holds them.
        model: the full model's value, drawn as a dashed line.
    """
    ends = [value for estimate in estimates for value in (estimate.mean, *estimate.ci95)]
    values = [height(value, metric) for value in [*ends, model] if value is not None]
    layout = _layout(scheme, METRIC_NAMES[metric], _kl_axis(values) if metric == "kl" else _axis(values))
    if model is not None:
        line = {"color": scheme.muted, "width": 1, "dash": "dash"}
        layout["shapes"] = [
            {"type": "line", "xref": "x domain", "x0": 0, "x1": 1, "y0": model, "y1": model, "line": line}
        ]
    return layout


def _axis(values: list[float]) -> dict[str, Any]:
    """Return a linear axis from 0, or from below 0 if there are negative values."""
    low, high = min([0.0, *values]), max([0.0, *values]) or 1.0
    room = 0.06 * (high - low)
    return {"range": [low - (room if low < 0 else 0), high + room], "nticks": 5}


def _kl_axis(values: list[float]) -> dict[str, Any]:
    """Return a log axis, since KL falls over orders of magnitude."""
    ticks = {LEAST_KL: f"≤{LEAST_KL:g}", 0.01: "0.01", 0.1: "0.1", 1: "1", 10: "10"}
    top = math.log10(max([10 * LEAST_KL, *values]))
    return {
        "type": "log",
        "range": [math.log10(LEAST_KL) - 0.1, top + 0.2],
        "tickvals": list(ticks),
        "ticktext": list(ticks.values()),
    }


def _layout(scheme: Look, name: str, y_axis: dict[str, Any]) -> dict[str, Any]:
    quiet = {"size": scheme.size(12), "color": scheme.muted}
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
        margin={"l": scheme.size(44), "r": 10, "t": 8, "b": scheme.size(38)},
        hovermode="closest",
        dragmode=False,
        uirevision=name,
        xaxis=axis | x_axis,
        yaxis=axis | y_axis | {"fixedrange": True},
    )
