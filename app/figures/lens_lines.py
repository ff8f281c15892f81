"""Lenses over layers: how far each is from the model over many texts, and a race of words on one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from app.figures.ablations_marks import legend, log_axis
from app.figures.style import Look, base_layout, escape, faded

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "star", "cross")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


@dataclass(frozen=True)
class Line:
    """One line over the rows.

    Attributes:
        name: in the legend.
        place: in the order of colours and symbols, so that a line keeps them whatever stands beside it.
        values: one a row; `low` and `high` its interval, None for a line without.
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
) -> go.Figure:
    """Return lines over rows, with their 95 % intervals as bands.

    Args:
        rows: names of the rows, from left to right.
        title: of what is measured.
        log: on a log axis.
        share: values are shares of 1.
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
    at = np.arange(len(rows))
    for one in lines:
        colour = scheme.runs[one.place % len(scheme.runs)]
        if one.low is not None and one.high is not None:
            figure.add_scatter(
                x=np.concatenate([at, at[::-1]]),
                y=np.concatenate([one.high, one.low[::-1]]),
                mode="lines",
                fill="toself",
                fillcolor=faded(colour, 0.14),
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
            )
        figure.add_scatter(
            x=at,
            y=one.values,
            mode="lines+markers",
            name=escape(one.name),
            line={"color": colour, "width": 2, "dash": DASHES[one.place // len(scheme.runs) % len(DASHES)]},
            marker={"size": 7, "symbol": SYMBOLS[one.place % len(SYMBOLS)], "color": colour},
            hovertext=[_said(one, i, share) for i in range(len(rows))],
            hovertemplate="%{hovertext}<extra></extra>",
        )
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
        ends = [one.values if one.high is None else one.high for one in lines]
        figure.update_yaxes(**log_axis([float(v) for end in ends for v in end], title, scheme))
    else:
        figure.update_yaxes(**axis, title={"text": title, "font": quiet, "standoff": 6})
    if share:
        figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    return figure


def _said(one: Line, i: int, share: bool) -> str:
    value = f"{one.values[i]:.1%}" if share else f"{one.values[i]:.3g}"
    interval = (
        "" if one.low is None or one.high is None else f" (95 %: {one.low[i]:.3g} to {one.high[i]:.3g})"
    )
    return f"{escape(one.name)}: <b>{value}</b>{interval}"
