"""Figures of lenses over layers: distance from the model over many texts, or probabilities of words."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app.figures.components import legend, log_axis
from app.figures.style import Look, base_layout, escape, faded

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "star", "cross")
FLOOR = 1e-3  # nats: on a log axis what is less is drawn as this
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


@dataclass(frozen=True)
class Line:
    """One line over the rows.

    Attributes:
        name: in the legend.
        place: index in the order of colours and symbols.
        values: one per row; `low` and `high` are the ends of the intervals, None for a line without.
    """

    name: str
    place: int
    values: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


def lines_figure(
    lines: Sequence[Line],
    rows: Sequence[str],
    title: str,
    scheme: Look,
    log: bool = False,
    share: bool = False,
    level: Line | None = None,
) -> go.Figure:
    """Return lines over rows, with their 95 % intervals as bands.

    Args:
        rows: names of the rows, from left to right.
        title: of what is measured.
        log: draw on a log axis, which ends at `FLOOR`.
        share: values are shares of 1.
        level: a horizontal line for comparison, the same value at all rows.
    """
    quiet = {"size": scheme.size(12), "color": scheme.muted}
    figure = go.Figure(
        layout=base_layout(
            scheme,
            margin={"l": scheme.size(62), "r": 12, "t": scheme.size(40), "b": scheme.size(44)},
            showlegend=True,
            legend=legend(scheme),
            dragmode=False,
            hovermode="x",
        )
    )
    if level is not None:
        _add(figure, level, log, share, {"color": scheme.ink, "width": 1.5, "dash": "dash"})
    for line in lines:
        colour = scheme.runs[line.place % len(scheme.runs)]
        dash = DASHES[line.place // len(scheme.runs) % len(DASHES)]
        marker = {"size": 7, "symbol": SYMBOLS[line.place % len(SYMBOLS)], "color": colour}
        _add(figure, line, log, share, {"color": colour, "width": 2, "dash": dash}, marker)
    axis = {
        "tickfont": quiet,
        "gridcolor": scheme.faint if scheme.mode == "dark" else "#E6EAEE",
        "zeroline": False,
        "showline": False,
        "fixedrange": True,
    }
    every = 1 if len(rows) <= 26 else 4
    ticks = sorted({*range(0, len(rows), every), len(rows) - 1})
    figure.update_xaxes(
        **axis,
        tickvals=ticks,
        ticktext=[rows[i] for i in ticks],
        title={"text": "layer", "font": quiet, "standoff": 4},
        range=[-0.3, len(rows) - 0.7],
    )
    if log:
        figure.update_yaxes(**_log_axis(lines, title, scheme))
    else:
        figure.update_yaxes(**axis, title={"text": title, "font": quiet, "standoff": 6})
    if share:
        figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    return figure


def _log_axis(lines: Sequence[Line], title: str, scheme: Look) -> dict[str, Any]:
    """Return a log axis that holds all lines; the tick at its lower end stands for all smaller values."""
    ends = [values for line in lines for values in (line.values, line.high) if values is not None]
    drawn = [float(value) for values in ends for value in np.maximum(values, FLOOR)]
    axis = log_axis(drawn, title, scheme)
    foot = np.isclose(axis["tickvals"], FLOOR) & (min(drawn) == FLOOR)
    texts = zip(axis["ticktext"], foot, strict=True)
    return axis | {"ticktext": [f"≤{text}" if is_foot else text for text, is_foot in texts]}


def _add(
    figure: go.Figure,
    line: Line,
    log: bool,
    share: bool,
    style: dict[str, Any],
    marker: dict[str, Any] | None = None,
) -> None:
    """Add a line with its interval as a band; without `marker` it has no marks."""
    at, drawn = np.arange(len(line.values)), partial(np.maximum, FLOOR) if log else np.asarray
    if line.low is not None and line.high is not None:
        figure.add_scatter(
            x=np.concatenate([at, at[::-1]]),
            y=np.concatenate([drawn(line.high), drawn(line.low[::-1])]),
            mode="lines",
            fill="toself",
            fillcolor=faded(style["color"], 0.14),
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
        )
    figure.add_scatter(
        x=at,
        y=drawn(line.values),
        mode="lines" if marker is None else "lines+markers",
        name=escape(line.name),
        line=style,
        marker=marker,
        hovertext=[_said(line, i, share) for i in range(len(at))],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _said(line: Line, i: int, share: bool) -> str:
    value = f"{line.values[i]:.1%}" if share else f"{line.values[i]:.3g}"
    interval = ""
    if line.low is not None and line.high is not None and np.isfinite([line.low[i], line.high[i]]).all():
        interval = f" (95 %: {line.low[i]:.3g} to {line.high[i]:.3g})"
    return f"{escape(line.name)}: <b>{value}</b>{interval}"
