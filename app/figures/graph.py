"""The circuit graph: which edges carry the behaviour.

Edges are drawn in a few dozen traces, one per (kind, strength, sign, dimmed), because plotly.js has one
width and colour per trace; a trace per edge would be slow. A last, invisible trace `handles` makes every
edge hoverable and clickable: its `meta` holds names and hover texts once per edge, `expand_handles`
(or the page's JavaScript) writes them out per point.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app.figures.names import edge_label
from app.figures.nodes import node_traces
from app.figures.places import (
    INPUT_Y,
    curves,
    edge_kinds,
    edge_nodes,
    logits_y,
    mlp_column,
    node_places,
    x_range,
    y_range,
)
from app.figures.style import KIND_NAMES, Look, base_layout
from engine.circuit import Circuit
from engine.graph import Graph

MOST_EDGES = 1000  # drawn; more is slow in the browser and illegible
WIDTHS = (0.9, 1.5, 2.5, 4.2)  # px, weakest quarter of the edges first
OPACITIES = (0.32, 0.48, 0.68, 0.92)
DIMMED = 0.08
POINTS = 20  # of a drawn curve
HANDLES = slice(2, 18)  # the points that answer the pointer: not those under the nodes' markers


@dataclass(frozen=True)
class Drawn:
    """The edges in a picture.

    Attributes:
        edges: indices into the graph's edges, weakest first.
        quarter: which quarter by rank each is in, 0 the weakest.
    """

    edges: np.ndarray
    quarter: np.ndarray


def drawn_edges(circuit: Circuit, signed: bool, most: int = MOST_EDGES) -> Drawn:
    """Return the strongest kept edges, at most `most`, weakest first.

    Quarters go by rank and not by value: scores are heavy-tailed, a few would flatten the rest.

    Args:
        circuit: the circuit to draw.
        signed: scores are signed effects, so strength is their size; else the score itself orders.
        most: edges to draw at most.
    """
    kept = np.flatnonzero(circuit.kept)
    strength = np.abs(circuit.scores[kept]) if signed else circuit.scores[kept]
    order = kept[np.argsort(strength, kind="stable")][-most:]
    quarter = np.arange(len(order)) * 4 // max(len(order), 1)
    return Drawn(order, quarter)


def circuit_figure(
    circuit: Circuit, scheme: Look, selected: Sequence[str] = (), signed: bool = False
) -> go.Figure:
    """Return the picture of a circuit.

    Args:
        circuit: graph, kept edges and scores.
        scheme: colours of the page.
        selected: names of nodes, or of edges; what touches them stays strong, the rest is dimmed.
        signed: scores are signed effects, so negative ones are dotted.
    """
    graph = circuit.graph
    drawn = drawn_edges(circuit, signed)
    ends = edge_nodes(graph)[drawn.edges]
    chosen = {graph.nodes.index(name) for name in selected if name in graph.nodes}
    picked = {graph.edge_index[name] for name in selected if name in graph.edge_index}
    lit = np.isin(ends, list(chosen)).any(axis=1) | np.isin(drawn.edges, list(picked))
    places = node_places(graph)
    kinds = edge_kinds(graph)[drawn.edges]
    paths = curves(places[ends[:, 0]], places[ends[:, 1]], kinds, POINTS, outward=mlp_column(graph))
    negative = circuit.scores[drawn.edges] < 0 if signed else np.zeros(len(drawn.edges), dtype=bool)
    dimmed = ~lit if chosen or picked else np.zeros(len(drawn.edges), dtype=bool)

    traces = _edge_traces(paths, kinds, drawn.quarter, negative, dimmed, scheme)
    traces += _legend(kinds, negative, scheme)
    traces.append(_handles(circuit, drawn, paths))
    near = chosen | set(ends[lit].ravel().tolist()) if chosen or picked else set(range(len(graph.nodes)))
    traces += node_traces(circuit, places, near, chosen, scheme)
    return go.Figure({"data": traces, "layout": _layout(graph, scheme)}, skip_invalid=False)


def expand_handles(figure: go.Figure) -> go.Figure:
    """Write the hover text of every edge out per point, for a figure that leaves the page (HTML)."""
    traces: Any = figure.select_traces({"name": "handles"})
    for trace in traces:
        texts = [text for text in trace.meta["hover"] for _ in range(trace.meta["points"])]
        trace.update(text=texts, hovertemplate="%{text}<extra></extra>")
    return figure


def _edge_traces(
    paths: np.ndarray,
    kinds: np.ndarray,
    quarter: np.ndarray,
    negative: np.ndarray,
    dimmed: np.ndarray,
    scheme: Look,
) -> list[dict[str, Any]]:
    """One trace per style; a gap (NaN) parts the curves. Dimmed first, then weak before strong."""
    gapped = np.concatenate([paths, np.full((len(paths), 1, 2), np.nan, dtype=np.float32)], axis=1)
    thinner = min(
        1.0, max(0.45, (130 / max(len(paths), 1)) ** 0.5)
    )  # many edges at full width cover the page
    traces = []
    for dim in (True, False):
        for level in range(4):
            for kind in KIND_NAMES:
                for minus in (False, True):
                    mask = (kinds == kind) & (quarter == level) & (negative == minus) & (dimmed == dim)
                    if not mask.any():
                        continue
                    lines = gapped[mask].reshape(-1, 2)
                    opacity = DIMMED if dim else 0.95 if dimmed.any() else OPACITIES[level]
                    traces.append(
                        {
                            "type": "scatter",
                            "mode": "lines",
                            "x": lines[:, 0],
                            "y": lines[:, 1],
                            "line": {
                                "color": scheme.kinds[kind],
                                "width": WIDTHS[level] * thinner,
                                "dash": "dot" if minus else "solid",
                            },
                            "opacity": opacity,
                            "hoverinfo": "skip",
                            "legendgroup": kind,
                            "showlegend": False,
                        }
                    )
    return traces


def _legend(kinds: np.ndarray, negative: np.ndarray, scheme: Look) -> list[dict[str, Any]]:
    """Legend-only traces at full strength and in fixed order, whatever was drawn first."""
    present = set(kinds.tolist())
    swatches = [(KIND_NAMES[k], k, scheme.kinds[k], "solid") for k in KIND_NAMES if k in present]
    if negative.any():
        swatches.append(("negative", "negative", scheme.ink, "dot"))
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [None],
            "y": [None],
            "line": {"color": colour, "width": 3.5, "dash": dash},
            "name": name,
            "legendgroup": group,
            "hoverinfo": "skip",
        }
        for name, group, colour, dash in swatches
    ]


def _handles(circuit: Circuit, drawn: Drawn, paths: np.ndarray) -> dict[str, Any]:
    """The trace that answers the pointer: no marks, so the browser holds nothing for it but coordinates."""
    points = paths[:, HANDLES]
    names = [circuit.graph.edge_names[i] for i in drawn.edges]
    kinds = edge_kinds(circuit.graph)[drawn.edges].tolist()
    n = len(names)
    texts = [
        f"<b>{edge_label(name)}</b><br>rank {n - i} of {circuit.n_edges}, score {circuit.scores[edge]:.3g}"
        for i, (name, edge) in enumerate(zip(names, drawn.edges, strict=True))
    ]
    return {
        "type": "scatter",
        "mode": "none",
        "name": "handles",
        "x": points[..., 0].ravel(),
        "y": points[..., 1].ravel(),
        "hoverinfo": "text",
        "showlegend": False,
        "meta": {"edges": names, "kinds": kinds, "hover": texts, "points": points.shape[1]},
    }


def _layout(graph: Graph, scheme: Look) -> dict[str, Any]:
    heads, layers = range(graph.n_heads), range(graph.n_layers)
    x0, x1 = x_range(graph)
    axis = {
        "showgrid": False,
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "tickfont": {"size": 12, "color": scheme.muted},
    }
    bands = [
        {
            "type": "rect",
            "layer": "below",
            "x0": x0 + 0.1,
            "x1": x1 - 0.1,
            "y0": layer - 0.34,
            "y1": layer + 0.66,
            "fillcolor": scheme.band,
            "line": {"width": 0},
        }
        for layer in layers
        if layer % 2 == 0
    ]
    return base_layout(
        scheme,
        margin={"l": 46, "r": 4, "t": 34, "b": 24},
        shapes=bands,
        dragmode="pan",
        hovermode="closest",
        hoverdistance=14,
        uirevision=f"{graph.n_layers}x{graph.n_heads}",
        legend={
            "orientation": "h",
            "x": 0,
            "y": 1.0,
            "yanchor": "bottom",
            "itemsizing": "trace",
            "itemwidth": 30,
            "font": {"size": 12, "color": scheme.ink},
        },
        xaxis=axis
        | {
            "range": [x0, x1],
            "tickvals": [*heads, mlp_column(graph)],
            "ticktext": [f"h{head}" for head in heads] + ["MLP"],
        },
        yaxis=axis
        | {
            "range": list(y_range(graph)),
            "tickvals": [INPUT_Y, *layers, logits_y(graph)],
            "ticktext": ["input", *(f"L{layer}" for layer in layers), "logits"],
        },
    )
