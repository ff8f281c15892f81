"""Figures of a repeated discovery: spread of metrics, overlap of circuits, number of circuits per edge."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app.figures.attention import DARK_SCALE, LIGHT_SCALE
from app.figures.curve import METRIC_NAMES, interval_text, mean_of
from app.figures.style import Look, base_layout, escape
from engine.runs.record import Estimate, Share

ITSELF, SEED, WITHOUT, ON_PART = "this circuit", "other seeds", "found without them", "this circuit on them"
MOST_WRITTEN = 12  # circuits whose overlaps fit into their cells as numbers
_NEAR = 0.12  # share of the colour scale within which two ticks would overlap


@dataclass(frozen=True)
class SpreadMark:
    """A circuit in the figure of the spread.

    Attributes:
        line: the name of its line.
        kind: `ITSELF`, `SEED`, `WITHOUT` (a part of the templates, measured on that part) or `ON_PART`.
        estimate: the value of the metric shown.
    """

    line: str
    kind: str
    estimate: Estimate | Share


def spread_figure(marks: Sequence[SpreadMark], metric: str, scheme: Look) -> go.Figure:
    """Return one line per repeat, with 95 % intervals; the line of a part of the templates has two circuits.

    Args:
        marks: from top to bottom.
        metric: name of the metric.
        scheme: colours of the page.
    """
    lines = list(dict.fromkeys(mark.line for mark in marks))
    figure = go.Figure(
        layout=base_layout(
            scheme,
            margin={"l": 8, "r": 14, "t": scheme.size(6), "b": scheme.size(40)},
            dragmode=False,
            hovermode="closest",
            showlegend=True,
            legend={
                "orientation": "h",
                "x": 0,
                "y": 1.02,
                "yanchor": "bottom",
                "itemclick": False,
                "itemdoubleclick": False,
                "font": {"color": scheme.ink, "size": scheme.size(12)},
            },
        )
    )
    looks = {
        ITSELF: (scheme.ink, "diamond", 0.0),
        SEED: (scheme.accent, "circle", 0.0),
        WITHOUT: (scheme.ring, "circle", -0.17),
        ON_PART: (scheme.ink, "diamond-open", 0.17),
    }
    for kind, (colour, symbol, aside) in looks.items():
        shown = [mark for mark in marks if mark.kind == kind and mark.estimate.mean is not None]
        if not shown:
            continue
        means = [mean_of(mark.estimate) for mark in shown]
        ends = [_ends(mark.estimate) for mark in shown]
        figure.add_scatter(
            x=means,
            y=[lines.index(mark.line) + aside for mark in shown],
            mode="markers",
            name=kind,
            marker={"size": 9, "color": colour, "symbol": symbol, "line": {"color": colour, "width": 2}},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [high - mean for (_, high), mean in zip(ends, means, strict=True)],
                "arrayminus": [mean - low for (low, _), mean in zip(ends, means, strict=True)],
                "color": colour,
                "thickness": 1.4,
                "width": 3,
            },
            text=[f"{escape(mark.line)}: {kind}" for mark in shown],
            hovertext=[interval_text(mark.estimate) for mark in shown],
            hovertemplate="%{text}<br><b>%{x:.3g}</b>, %{hovertext}<extra></extra>",
        )
    quiet = {"size": scheme.size(12), "color": scheme.muted}
    figure.update_xaxes(
        title={"text": METRIC_NAMES[metric], "font": quiet, "standoff": 6},
        tickfont=quiet,
        gridcolor=scheme.band,
        zeroline=False,
        rangemode="tozero" if metric == "kl" else "normal",
        nticks=5,
        fixedrange=True,
    )
    return figure.update_yaxes(
        tickvals=list(range(len(lines))),
        ticktext=[escape(line) for line in lines],
        range=[len(lines) - 0.5, -0.5],
        tickfont={"size": scheme.size(12), "color": scheme.ink},
        automargin=True,
        fixedrange=True,
        showgrid=False,
        zeroline=False,
        ticks="",
        ticklabelstandoff=6,
    )


def jaccard_figure(
    labels: Sequence[str], jaccard: Sequence[Sequence[float]], expected: float | None, scheme: Look
) -> go.Figure:
    """Return the overlaps of all circuits, pair by pair, on a scale from 0 to 1 that marks chance.

    Args:
        labels: of the circuits.
        jaccard: [n][n].
        expected: the mean overlap of random circuits of these sizes.
    """
    n = len(labels)
    values = np.array(jaccard, dtype=float)
    np.fill_diagonal(values, np.nan)
    dark = scheme.mode == "dark"
    notes: list[dict[str, Any]] = []
    for i, j in np.argwhere(np.isfinite(values)).tolist() if n <= MOST_WRITTEN else ():
        # There the scale is dark on a light page, and light on a dark one.
        colour = scheme.ground if values[i, j] > 0.5 else scheme.ink
        font = {"color": colour, "size": scheme.size(12)}
        notes.append({"x": j, "y": i, "text": f"{values[i, j]:.2f}", "font": font, "showarrow": False})
    chance = "" if expected is None else f"<br>{expected:.3f} by chance"
    names = [escape(label) for label in labels]
    quiet = {"size": scheme.size(12), "color": scheme.muted}
    figure = go.Figure(
        go.Heatmap(
            z=values,
            zmin=0,
            zmax=1,
            colorscale=DARK_SCALE if dark else LIGHT_SCALE,
            xgap=2,
            ygap=2,
            hoverongaps=False,
            customdata=[[f"{name} and {other}" for other in names] for name in names],
            hovertemplate=f"%{{customdata}}<br>Jaccard <b>%{{z:.3f}}</b>{chance}<extra></extra>",
            colorbar={
                "orientation": "h",
                "thickness": 10,
                "y": 0,
                "yanchor": "top",
                "ypad": 10,
                "xpad": 0,
                "outlinewidth": 0,
                "tickfont": quiet,
                "ticks": "outside",
                "ticklen": 4,
                **_ticks(expected),
            },
        ),
        layout=base_layout(
            scheme,
            margin={"l": 8, "r": 8, "t": 8, "b": scheme.size(48)},
            hovermode="closest",
            dragmode=False,
            annotations=notes,
        ),
    )
    axis = {"tickvals": list(range(n)), "ticktext": names, "showgrid": False, "zeroline": False, "ticks": ""}
    axis |= {"tickfont": {"size": scheme.size(12), "color": scheme.ink}, "automargin": True}
    figure.update_xaxes(**axis, side="top", tickangle=-90, fixedrange=True, range=[-0.5, n - 0.5])
    return figure.update_yaxes(**axis, fixedrange=True, range=[n - 0.5, -0.5])


def frequency_figure(counts: Sequence[int], scheme: Look) -> go.Figure:
    """Return how many edges are kept by exactly one of the circuits, by two, and so on up to all.

    Args:
        counts: the numbers of edges, from one circuit to all of them, which is the core.
    """
    n = len(counts)
    quiet = {"size": scheme.size(12), "color": scheme.muted}
    figure = go.Figure(
        go.Bar(
            x=list(range(1, n + 1)),
            y=list(counts),
            marker={"color": [scheme.muted] * (n - 1) + [scheme.accent], "line": {"width": 0}},
            text=[f"{count:,}" for count in counts],
            textposition="outside" if n <= MOST_WRITTEN else "none",
            textfont={"size": scheme.size(12), "color": scheme.ink},
            cliponaxis=False,
            hovertemplate=f"%{{y:,}} edges in %{{x}} of {n} circuits<extra></extra>",
        ),
        layout=base_layout(
            scheme,
            margin={"l": scheme.size(52), "r": 8, "t": scheme.size(20), "b": scheme.size(40)},
            dragmode=False,
            bargap=0.35,
        ),
    )
    axis = {"tickfont": quiet, "zeroline": False, "fixedrange": True, "ticks": ""}
    figure.update_xaxes(
        title={"text": f"in how many of the {n} circuits", "font": quiet, "standoff": 6},
        tickvals=list(range(1, n + 1)) if n <= MOST_WRITTEN else None,
        range=[0.4, n + 0.6],
        showgrid=False,
        **axis,
    )
    title = {"text": "edges", "font": quiet, "standoff": 4}
    return figure.update_yaxes(title=title, gridcolor=scheme.band, rangemode="tozero", nticks=5, **axis)


def _ends(estimate: Estimate | Share) -> tuple[float, float]:
    """Return the ends of an interval; the mean twice where there is none."""
    low, high = estimate.ci95
    mean = mean_of(estimate)
    return (mean, mean) if low is None or high is None else (low, high)


def _ticks(expected: float | None) -> dict[str, Any]:
    """Return the ticks of the scale of overlaps: chance, and the round numbers that leave it room."""
    ticks = {value: f"{value:g}" for value in (0, 0.5, 1)}
    if expected is not None:
        room = 2 * _NEAR  # its text is wider
        ticks = {value: text for value, text in ticks.items() if abs(value - expected) > room}
        ticks[min(max(expected, 0), 1)] = f"{expected:.2f} by chance"
    return {"tickvals": list(ticks), "ticktext": list(ticks.values())}
