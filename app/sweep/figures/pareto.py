"""Figure that compares methods: a metric of their circuits over edges kept.

A curve shows the circuits of a ranking of edges at given sizes; an open mark is a circuit that a method chose
itself, at a price per edge. Published curves are drawn as the paper draws them: every circuit it reports as
a dot, and a line along the best ones so far.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import plotly.graph_objects as go

from app.figures.curve import METRIC_NAMES, chart_layout
from app.figures.style import Look, escape, faded
from app.sweep.figures.axes import Axes, Curve, Spot
from engine.runs.record import Estimate

DASHES = ("solid", "dash", "dashdot", "longdash", "longdashdot")  # dotted is what is published
MANY = 8  # curves, whose bands lie over each other
PUBLISHED = "paper, GPT-2 small"


def pareto_figure(
    curves: Sequence[Curve],
    metric: str,
    scheme: Look,
    *,
    shares: bool = True,
    log: bool = True,
    published: Sequence[Curve] = (),
) -> go.Figure:
    """Return all curves in one chart: colour and mark tell methods apart, dashes ablations.

    Args:
        curves: the curves compared.
        metric: "kl" (log axis) or another.
        scheme: colours of the page.
        shares: edges as a share of all edges, in per cent, else as they are.
        log: edges on a log axis, which circuits without edges are not on.
        published: curves of another model, thin and dotted.
    """
    everything = [spot for curve in [*curves, *published] for spot in (*curve.spots, *curve.path)]
    shown = [spot for spot in everything if spot.edges > 0 or not log]
    figure = go.Figure(layout=chart_layout([_estimate(spot) for spot in shown], metric, scheme))
    axes = Axes(metric, shares, log)
    many = len(curves) > MANY
    for curve in curves:
        if curve.baseline:
            _add(figure, curve, axes, scheme, many)
    for curve in published:
        _add_published(figure, curve, axes, scheme)
    for curve in curves:
        if not curve.baseline:
            _add(figure, curve, axes, scheme, many)
    _legends(figure, curves, published, scheme)
    quiet = {"size": scheme.size(12), "color": scheme.muted}
    title = {"text": METRIC_NAMES[metric], "font": quiet, "standoff": 4}
    figure.update_layout(
        showlegend=True,
        margin={"l": scheme.size(58), "t": scheme.size(10), "r": 10, "b": scheme.size(42)},
        yaxis_title=title,
        xaxis=axes.x_axis(shown),
        uirevision=f"{metric} {shares} {log}",
    )
    return figure


def _estimate(spot: Spot) -> Estimate:
    """Return a spot as an estimate, for the range of the axis; its number of prompts is made up."""
    return Estimate(mean=spot.value, ci95=[spot.low, spot.high], n=0)


def _add(figure: go.Figure, curve: Curve, axes: Axes, scheme: Look, many: bool) -> None:
    """Draw a curve: its band (paler if there are many curves), its line, and the circuits of its path."""
    spots, group = axes.seen(curve.spots), escape(curve.method)
    banded = [
        (axes.x(spot), axes.y(spot.low), axes.y(spot.high))
        for spot in spots
        if spot.low is not None and spot.high is not None
    ]
    opacity = (0.22 if scheme.mode == "light" else 0.28) if curve.baseline else 0.05 if many else 0.1
    figure.add_scatter(
        x=[x for x, _, _ in banded] + [x for x, _, _ in reversed(banded)],
        y=[high for _, _, high in banded] + [low for _, low, _ in reversed(banded)],
        fill="toself",
        fillcolor=faded(curve.colour, opacity),
        mode="none",
        hoverinfo="skip",
        name="band",
        legendgroup=group,
        showlegend=False,
    )
    figure.add_scatter(
        mode="lines+markers",
        name=f"{group}, {escape(curve.ablation)}",
        line={"color": curve.colour, "width": 2, "dash": curve.dash},
        marker={"size": 6, "color": curve.colour, "symbol": curve.symbol},
        legendgroup=group,
        showlegend=False,
        **_placed(spots, axes, f"{curve.method}, {curve.ablation}"),
    )
    if path := axes.seen(curve.path):
        figure.add_scatter(
            mode="markers",
            name=f"{group}, {escape(curve.ablation)}: own circuits",
            marker={
                "size": 10,
                "color": scheme.ground,
                "symbol": curve.symbol,
                "line": {"color": curve.colour, "width": 2},
            },
            legendgroup=group,
            showlegend=False,
            **_placed(path, axes, f"{curve.method}, {curve.ablation}"),
        )


def _add_published(figure: go.Figure, curve: Curve, axes: Axes, scheme: Look) -> None:
    spots = axes.seen(sorted(curve.spots, key=lambda spot: spot.edges))
    name = f"{escape(curve.method)}, {escape(curve.ablation)}: {PUBLISHED}"
    best = list(accumulate((spot.value for spot in spots), min))
    figure.add_scatter(
        x=[axes.x(spot) for spot in spots],
        y=[axes.y(value) for value in best],
        mode="lines",
        name=f"{name}, best so far",
        line={"color": curve.colour, "width": 1.2, "dash": "dot"},
        hoverinfo="skip",
        legendgroup=PUBLISHED,
        showlegend=False,
    )
    figure.add_scatter(
        mode="markers",
        name=name,
        marker={"size": 5, "color": curve.colour, "symbol": curve.symbol},
        legendgroup=PUBLISHED,
        showlegend=False,
        **_placed(spots, axes, f"{curve.method}, {curve.ablation}: {PUBLISHED}"),
    )


def _placed(spots: Sequence[Spot], axes: Axes, first: str) -> dict[str, Any]:
    texts = ["<br>".join(map(escape, [spot.text, *spot.numbers])) for spot in spots]
    return {
        "x": [axes.x(spot) for spot in spots],
        "y": [axes.y(spot.value) for spot in spots],
        "customdata": [spot.key for spot in spots],
        "text": texts,
        "hovertemplate": f"<b>{escape(first)}</b><br>%{{text}}<extra></extra>",
    }


def _legends(figure: go.Figure, curves: Sequence[Curve], published: Sequence[Curve], scheme: Look) -> None:
    """Draw two legends at the right: methods, which a click hides; ablations and what is published below."""
    methods = {curve.method: curve for curve in sorted(curves, key=lambda curve: curve.baseline)}
    for curve in methods.values():
        line = {"color": curve.colour, "width": 2}
        mark = {"size": 7, "color": curve.colour, "symbol": curve.symbol}
        _entry(figure, curve.method, mode="lines+markers", line=line, marker=mark)
    below = {"legend": "legend2", "title": "ablation", "scheme": scheme}
    for name, dash in {curve.ablation: curve.dash for curve in curves}.items():
        line = {"color": scheme.ink, "width": 2, "dash": dash}
        _entry(figure, name, **below, mode="lines", line=line)
    if any(curve.path for curve in curves):
        ring = {"size": 9, "color": scheme.ground, "line": {"color": scheme.ink, "width": 2}}
        _entry(figure, "chosen by the method", **below, mode="markers", marker=ring)
    below["title"] = PUBLISHED
    for name, colour in {curve.method: curve.colour for curve in published}.items():
        line = {"color": colour, "width": 1.2, "dash": "dot"}
        _entry(figure, name, **below, mode="lines", line=line)
    for name, symbol in {curve.ablation: curve.symbol for curve in published}.items():
        _entry(
            figure, name, **below, mode="markers", marker={"size": 6, "color": scheme.ink, "symbol": symbol}
        )
    quiet = {"color": scheme.muted, "size": scheme.size(12)}
    common = {"x": 1.01, "xanchor": "left", "itemwidth": 36, "tracegroupgap": 4}
    common |= {"font": {"color": scheme.ink, "size": scheme.size(12)}}
    still = {"itemclick": False, "itemdoubleclick": False}
    figure.update_layout(
        legend=common | {"y": 1, "yanchor": "top", "title": {"text": "method", "font": quiet}},
        legend2=common | {"y": 0, "yanchor": "bottom"} | still,
    )


def _entry(
    figure: go.Figure,
    name: str,
    legend: str = "legend",
    title: str | None = None,
    scheme: Look | None = None,
    **style: Any,
) -> None:
    """Add an entry to a legend; without a title the entry hides and shows the curves of its name."""
    group: dict[str, Any] = {"legendgroup": title or escape(name)}
    if title is not None and scheme is not None:
        font = {"color": scheme.muted, "size": scheme.size(12)}
        group["legendgrouptitle"] = {"text": title, "font": font}
    figure.add_scatter(x=[None], y=[None], name=escape(name), legend=legend, **group, **style)
