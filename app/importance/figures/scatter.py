"""Figures of Δ under two ablations, and of the agreement of every pair of ablations."""

import math
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app.figures.attention import DARK_SCALE, LIGHT_SCALE
from app.figures.components import cost_text, error_bars, height, log_axis
from app.figures.style import Look, base_layout, escape, faded
from app.importance.figures.bars import Costs
from engine.instruments.importance.comparison import Agreement

MOST_INTERVALS = 250  # components; the intervals of more would hide their marks
MOST_NAMES = 6  # components that are named in the chart


def scatter_figure(
    components: Sequence[str], x: Costs, y: Costs, scheme: Look, selected: Sequence[str] = ()
) -> go.Figure:
    """Return the components' Δ under two ablations on log axes, with the line of equal Δ.

    Args:
        components: heads are drawn as circles, MLPs as squares; a click carries the component.
        x, y: of all of these.
        selected: components with a ring and their name.
    """
    defined = np.isfinite(x.mean) & np.isfinite(y.mean)
    rows = np.flatnonzero(defined).tolist()
    names = [components[i] for i in rows]
    chosen = [name in selected for name in names]
    values = [
        float(v) for costs in (x, y) for part in (costs.mean, costs.low, costs.high) for v in part[rows]
    ]
    axes = {
        name: log_axis(values, f"Δ under {escape(costs.name)} (nats)", scheme)
        for name, costs in (("x", x), ("y", y))
    }
    low, high = axes["x"]["range"]
    figure = go.Figure(
        layout=base_layout(
            scheme,
            margin={"l": scheme.size(64), "r": scheme.size(40), "t": 10, "b": scheme.size(42)},
            dragmode=False,
            hovermode="closest",
            showlegend=False,
            hoverdistance=12,
            xaxis=axes["x"],
            yaxis=axes["y"],
        )
    )
    figure.add_scatter(
        x=[10**low, 10**high],
        y=[10**low, 10**high],
        mode="lines",
        name="equal",
        line={"color": scheme.muted, "width": 1, "dash": "dash"},
        hoverinfo="skip",
    )
    bars = len(rows) <= MOST_INTERVALS
    quiet = faded(scheme.muted, 0.5)
    named = {names[i] for i in _apart(height(x.mean[rows]), height(y.mean[rows]), high - low)}
    named |= set(selected)
    figure.add_scatter(
        x=height(x.mean[rows]).tolist(),
        y=height(y.mean[rows]).tolist(),
        error_x=error_bars(x.mean[rows], x.low[rows], x.high[rows], quiet) | {"width": 0} if bars else None,
        error_y=error_bars(y.mean[rows], y.low[rows], y.high[rows], quiet) | {"width": 0} if bars else None,
        mode="markers+text",
        name="components",
        customdata=names,
        text=[name if name in named else "" for name in names],
        textposition=_sides(height(x.mean[rows]), height(y.mean[rows])),
        textfont={"size": scheme.size(11), "color": scheme.ink},
        hovertext=[
            f"<b>{name}</b><br>"
            + "<br>".join(
                cost_text(escape(costs.name), float(costs.mean[i]), float(costs.low[i]), float(costs.high[i]))
                for costs in (x, y)
            )
            for name, i in zip(names, rows, strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        marker={
            "size": [13 if ringed else 9 for ringed in chosen],
            "symbol": ["square" if name.startswith("m") else "circle" for name in names],
            "color": faded(scheme.accent, 0.75),
            "line": {
                "width": [3 if ringed else 1 for ringed in chosen],
                "color": [scheme.ring if ringed else scheme.ground for ringed in chosen],
            },
        },
        cliponaxis=False,
    )
    _note(figure, "above the line: it costs more here", 0.01, 0.99, scheme)
    return figure


def _apart(x: np.ndarray, y: np.ndarray, span: float) -> list[int]:
    """Return the indices of the highest points, without those whose names would overlap, up to a maximum."""
    places = np.log10(np.stack([x, y], axis=1)) / span
    named: list[int] = []
    for i in np.argsort(-y, kind="stable").tolist():
        clear = all(
            abs(places[i] - places[j])[1] > 0.04 or abs(places[i] - places[j])[0] > 0.14 for j in named
        )
        if len(named) < MOST_NAMES and clear:
            named.append(i)
    return named


def _sides(x: np.ndarray, y: np.ndarray) -> list[str]:
    """Return for every mark the side on which its name is written: away from the line of equal Δ."""
    return ["middle left" if above else "middle right" for above in (y > x)]


def _note(figure: go.Figure, text: str, x: float, y: float, scheme: Look) -> None:
    figure.add_annotation(
        text=text,
        x=x,
        y=y,
        xref="paper",
        yref="paper",
        xanchor="left",
        yanchor="top",
        showarrow=False,
        font={"size": scheme.size(11), "color": scheme.muted},
    )


def agreement_figure(
    names: Sequence[str],
    agreements: Mapping[tuple[int, int], Agreement],
    scheme: Look,
    chosen: tuple[int, int] | None = None,
) -> go.Figure:
    """Return the matrix of rank correlations of all ablations.

    Args:
        names: of the ablations, with their conditioning.
        agreements: by the indices (i, j) of two ablations, i < j.
        chosen: the two shown in the scatter plot, which get a ring.
    """
    n = len(names)
    z, texts = np.full((n, n), np.nan), np.full((n, n), "", dtype=object)
    ids = np.full((n, n), "", dtype=object)
    notes = []
    correlations = [agreement.spearman for agreement in agreements.values() if agreement.spearman is not None]
    least = min(math.floor(10 * min(correlations, default=0)) / 10, 0.9)  # numbers stand in the cells
    for (i, j), agreement in agreements.items():
        if agreement.spearman is None:
            continue
        for row, column in ((i, j), (j, i)):
            z[row, column], ids[row, column] = agreement.spearman, f"{column},{row}"
            two = f"{escape(names[column])} and {escape(names[row])}"
            texts[row, column] = f"{two}<br>{agreement_text(agreement)}"
            strong = (agreement.spearman - least) / (1 - least) > (0.66 if scheme.mode == "light" else 0.55)
            font = {"color": scheme.ground if strong else scheme.ink, "size": scheme.size(12)}
            text = f"{agreement.spearman:.2f}".replace("0.", ".")
            notes.append({"x": column, "y": row, "text": text, "font": font, "showarrow": False})
    figure = go.Figure(
        go.Heatmap(
            z=z,
            zmin=least,
            zmax=1,
            colorscale=DARK_SCALE if scheme.mode == "dark" else LIGHT_SCALE,
            showscale=False,
            xgap=2,
            ygap=2,
            hoverongaps=False,
            customdata=ids.tolist(),
            text=texts.tolist(),
            hovertemplate="%{text}<extra></extra>",
        ),
        layout=base_layout(
            scheme,
            margin={"l": 8, "r": 8, "t": 8, "b": 8},
            hovermode="closest",
            dragmode=False,
            annotations=notes,
        ),
    )
    if chosen is not None:
        x, y = chosen
        ends = {"x0": x - 0.5, "x1": x + 0.5, "y0": y - 0.5, "y1": y + 0.5}
        figure.add_shape(type="rect", **ends, line={"color": scheme.ring, "width": 3})
    labels: dict[str, Any] = {"tickvals": list(range(n)), "ticks": ""}
    labels |= {"tickfont": {"size": scheme.size(12), "color": scheme.ink}, "automargin": True}
    labels |= {"showgrid": False, "zeroline": False, "fixedrange": True}
    letters = [ascii_uppercase[i % 26] for i in range(n)]
    signed = [f"{escape(name)}  <b>{letter}</b>" for name, letter in zip(names, letters, strict=True)]
    figure.update_xaxes(**labels, ticktext=letters, side="top", range=[-0.5, n - 0.5])
    figure.update_yaxes(**labels, ticktext=signed, range=[n - 0.5, -0.5])
    return figure


def agreement_text(agreement: Agreement) -> str:
    """Return in words how far two ablations agree."""
    return "<br>".join(
        f"{name} {value:.3f}" + ("" if ends is None else f" (95 %: {ends[0]:.2f} – {ends[1]:.2f})")
        for name, value, ends in (
            ("Spearman", agreement.spearman, agreement.spearman_ci),
            ("Pearson of log Δ", agreement.pearson, agreement.pearson_ci),
        )
        if value is not None
    )
