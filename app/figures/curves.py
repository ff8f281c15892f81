"""One metric over edges kept, for several runs in one chart, and circuits of one size as marks among them."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from app.figures.curve import (
    METRIC_NAMES,
    Series,
    add_series,
    chart_layout,
    height,
    interval_text,
    mean_of,
)
from app.figures.marks import Mark
from app.figures.style import Look, escape, faded
from engine.runs.record import Measured, Point

LEFT = 30  # edges; a text at the left of a mark further left would leave the chart


@dataclass(frozen=True)
class Single:
    """A circuit that has one size only.

    Attributes:
        name: in the legend and over its numbers.
        short: the label beside its mark.
        value: its metrics.
    """

    name: str
    short: str
    value: Measured
    colour: str
    symbol: str


def marked_series(
    mark: Mark, name: str, curve: Sequence[Point], scheme: Look, at: int | None = None
) -> Series:
    """Return a curve as it is drawn among others."""
    fill = faded(mark.colour, 0.12 if scheme.mode == "light" else 0.16)
    return Series(name, curve, mark.colour, fill, mark.symbol, mark.dash, at)


def curves_figure(
    series: Sequence[Series],
    metric: str,
    scheme: Look,
    model: float | None = None,
    points: Sequence[Single] = (),
) -> go.Figure:
    """Return the curves of one metric, with 95 % intervals as bands, on the axes of `curve_figure`.

    Args:
        series: what to draw, first in the legend first.
        metric: which metric to show.
        scheme: colours of the page.
        model: the full model's value, drawn as a dashed line.
        points: circuits of one size, drawn as marks with their intervals.
    """
    shown = [
        point for point in points if point.value.n_edges > 0 and point.value.metric(metric).mean is not None
    ]
    estimates = [point.metric(metric) for line in series for point in line.points(metric)]
    layout = chart_layout(
        [*estimates, *(point.value.metric(metric) for point in shown)], metric, scheme, model
    )
    figure = go.Figure(layout=layout)
    for line in series:
        add_series(figure, line, metric, scheme, line.name)
    for point in shown:
        _add_point(figure, point, metric, scheme)
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemwidth": 30}
    title = {
        "text": METRIC_NAMES[metric],
        "font": {"color": scheme.muted, "size": scheme.size(12)},
        "standoff": 4,
    }
    return figure.update_layout(
        showlegend=True,
        legend=legend | {"font": {"color": scheme.ink, "size": scheme.size(12)}},
        margin={"l": scheme.size(58), "t": scheme.size(14 + 19 * len(series))},
        yaxis_title=title,
    )


def _add_point(figure: go.Figure, point: Single, metric: str, scheme: Look) -> None:
    value = point.value.metric(metric)
    mean = height(mean_of(value), metric)
    low, high = value.ci95
    bars = None
    if low is not None and high is not None:
        bars = {
            "type": "data",
            "symmetric": False,
            "array": [height(high, metric) - mean],
            "arrayminus": [mean - height(low, metric)],
            "thickness": 1.5,
            "width": 4,
            "color": point.colour,
        }
    figure.add_scatter(
        x=[point.value.n_edges],
        y=[mean],
        error_y=bars,
        mode="markers+text",
        name="circuit",
        text=[escape(point.short)],
        textposition="bottom left" if point.value.n_edges > LEFT else "bottom right",
        textfont={"color": scheme.ink, "size": scheme.size(12)},
        hovertext=[
            f"{escape(point.name)}<br>{point.value.n_edges:,} edges: <b>{value.mean:.3g}</b>"
            f"<br>{interval_text(value)}"
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        marker={
            "size": 11,
            "color": scheme.ground,
            "symbol": point.symbol,
            "line": {"color": point.colour, "width": 2.5},
        },
        showlegend=False,
    )
