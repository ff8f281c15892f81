"""Traces of figures of edges: lines of one style, swatches of the legend, and a trace for the pointer.

plotly.js has one width and colour per trace, so edges are drawn in a few dozen traces, one per style; a trace
per edge would be slow. A last, invisible trace `handles` makes every edge hoverable and clickable: its `meta`
holds names and hover texts once per edge, `expand_handles` (or the page's JavaScript) writes them out per
point.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app.figures.names import edge_label
from engine.circuits.circuit import Circuit

POINTS = 20  # of a drawn curve
HANDLES = slice(2, 18)  # the points that answer the pointer: not those under the nodes' markers


def line_trace(
    paths: np.ndarray, colour: str, width: float, opacity: float, group: str, dotted: bool = False
) -> dict[str, Any]:
    """Return one trace of curves of one style, separated by NaN.

    Args:
        paths: float [n, POINTS, 2].
        group: the legend entry that hides them.
    """
    lines = np.concatenate([paths, np.full((len(paths), 1, 2), np.nan, dtype=np.float32)], axis=1)
    lines = lines.reshape(-1, 2)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": lines[:, 0],
        "y": lines[:, 1],
        "line": {"color": colour, "width": width, "dash": "dot" if dotted else "solid"},
        "opacity": opacity,
        "hoverinfo": "skip",
        "legendgroup": group,
        "showlegend": False,
    }


def swatch(name: str, group: str, colour: str, width: float = 3.5, dotted: bool = False) -> dict[str, Any]:
    """Return a trace that has only an entry in the legend, at full strength."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [None],
        "y": [None],
        "line": {"color": colour, "width": width, "dash": "dot" if dotted else "solid"},
        "name": name,
        "legendgroup": group,
        "hoverinfo": "skip",
    }


def thinner(n: int) -> float:
    """Return the factor of the widths of `n` edges: many edges are drawn thinner."""
    return min(1.0, max(0.45, (130 / max(n, 1)) ** 0.5))


def handles(
    circuit: Circuit, edges: np.ndarray, paths: np.ndarray, groups: Sequence[str], more: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the invisible trace that makes edges hoverable and clickable.

    Args:
        edges: indices of the edges drawn, weakest first.
        paths: their curves, float [n, POINTS, 2].
        groups: per edge, the legend entry that hides it.
        more: per edge, a last line of its hover text.
    """
    points = paths[:, HANDLES]
    names = [circuit.graph.edge_names[i] for i in edges]
    n = len(names)
    texts = [
        f"<b>{edge_label(name)}</b><br>rank {n - i} of {circuit.n_edges}, score {circuit.scores[edge]:.3g}"
        for i, (name, edge) in enumerate(zip(names, edges, strict=True))
    ]
    if more:
        texts = [f"{text}<br>{line}" for text, line in zip(texts, more, strict=True)]
    return {
        "type": "scatter",
        "mode": "none",
        "name": "handles",
        "x": points[..., 0].ravel(),
        "y": points[..., 1].ravel(),
        "hoverinfo": "text",
        "showlegend": False,
        "meta": {"edges": names, "kinds": list(groups), "hover": texts, "points": points.shape[1]},
    }


def expand_handles(figure: go.Figure) -> go.Figure:
    """Write the hover text of every edge at each of its points, for a figure saved as HTML."""
    traces: Any = figure.select_traces({"name": "handles"})
    for trace in traces:
        texts = [text for text in trace.meta["hover"] for _ in range(trace.meta["points"])]
        trace.update(text=texts, hovertemplate="%{text}<extra></extra>")
    return figure
