"""The figure of the circuit graph.

Edges are drawn in one trace per (kind, strength, sign, dimmed); see `app.figures.edges`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app.figures.edges import POINTS, handles, line_trace, swatch, thinner
from app.figures.nodes import node_traces, pin_trace
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
from engine.circuits.circuit import Circuit
from engine.circuits.graph import Graph
from engine.circuits.paths import Way, traced_edges

MOST_EDGES = 1000  # drawn; more is slow in the browser and illegible
WIDTHS = (0.9, 1.5, 2.5, 4.2)  # px, weakest quarter of the edges first
OPACITIES = (0.32, 0.48, 0.68, 0.92)
DIMMED = 0.08


@dataclass(frozen=True)
class Drawn:
    """The edges in a picture.

    Attributes:
        edges: indices into the graph's edges, weakest first.
        quarter: the quarter of each edge by rank, 0 for the weakest.
    """

    edges: np.ndarray
    quarter: np.ndarray


def drawn_edges(circuit: Circuit, signed: bool, most: int = MOST_EDGES) -> Drawn:
    """Return the strongest kept edges, at most `most`, weakest first.

    Quarters go by rank and not by value, since scores are heavy-tailed.

    Args:
        circuit: the circuit to draw.
        signed: scores are signed effects, so edges are ordered by magnitude; else by the score itself.
        most: edges to draw at most.
    """
    kept = np.flatnonzero(circuit.kept)
    strength = np.abs(circuit.scores[kept]) if signed else circuit.scores[kept]
    order = kept[np.argsort(strength, kind="stable")][-most:]
    quarter = np.arange(len(order)) * 4 // max(len(order), 1)
    return Drawn(order, quarter)


def circuit_figure(
    circuit: Circuit,
    scheme: Look,
    selected: Sequence[str] = (),
    signed: bool = False,
    way: Way = "neighbours",
    pins: Mapping[str, str] | None = None,
) -> go.Figure:
    """Return the picture of a circuit.

    Args:
        circuit: graph, kept edges and scores.
        scheme: colours of the page.
        selected: names of nodes, or of edges; edges traced from them stay strong, the others are dimmed.
        signed: scores are signed effects, so negative ones are dotted.
        way: which edges are traced from the selection.
        pins: notes on nodes that the user pinned; they get a star.
    """
    graph = circuit.graph
    drawn = drawn_edges(circuit, signed)
    ends = edge_nodes(graph)[drawn.edges]
    chosen = {graph.nodes.index(name) for name in selected if name in graph.nodes}
    picked = {graph.edge_index[name] for name in selected if name in graph.edge_index}
    lit = traced_edges(graph, circuit.kept, selected, way)[drawn.edges]
    places = node_places(graph)
    kinds = edge_kinds(graph)[drawn.edges]
    paths = curves(places[ends[:, 0]], places[ends[:, 1]], kinds, POINTS, outward=mlp_column(graph))
    negative = circuit.scores[drawn.edges] < 0 if signed else np.zeros(len(drawn.edges), dtype=bool)
    dimmed = ~lit if chosen or picked else np.zeros(len(drawn.edges), dtype=bool)

    traces = _edge_traces(paths, kinds, drawn.quarter, negative, dimmed, scheme)
    traces += _legend(kinds, negative, scheme)
    traces.append(handles(circuit, drawn.edges, paths, kinds.tolist()))
    near = chosen | set(ends[lit].ravel().tolist()) if chosen or picked else set(range(len(graph.nodes)))
    traces += node_traces(circuit, places, near, chosen, scheme)
    if pins:
        traces.append(pin_trace(graph, places, pins, scheme))
    return go.Figure({"data": traces, "layout": graph_layout(graph, scheme)}, skip_invalid=False)


def _edge_traces(
    paths: np.ndarray,
    kinds: np.ndarray,
    quarter: np.ndarray,
    negative: np.ndarray,
    dimmed: np.ndarray,
    scheme: Look,
) -> list[dict[str, Any]]:
    """Return one trace per style: dimmed edges first, then weak before strong."""
    factor = thinner(len(paths))
    traces = []
    for dim in (True, False):
        for level in range(4):
            opacity = DIMMED if dim else 0.95 if dimmed.any() else OPACITIES[level]
            for kind in KIND_NAMES:
                for minus in (False, True):
                    mask = (kinds == kind) & (quarter == level) & (negative == minus) & (dimmed == dim)
                    if mask.any():
                        width, colour = WIDTHS[level] * factor, scheme.kinds[kind]
                        traces.append(line_trace(paths[mask], colour, width, opacity, kind, minus))
    return traces


def _legend(kinds: np.ndarray, negative: np.ndarray, scheme: Look) -> list[dict[str, Any]]:
    """Return the swatches in fixed order."""
    present = set(kinds.tolist())
    swatches = [swatch(KIND_NAMES[kind], kind, scheme.kinds[kind]) for kind in KIND_NAMES if kind in present]
    if negative.any():
        swatches.append(swatch("negative", "negative", scheme.ink, dotted=True))
    return swatches


def graph_layout(graph: Graph, scheme: Look) -> dict[str, Any]:
    """Return the layout of figures of circuits of `graph`, the same for all circuits."""
    heads, layers = range(graph.n_heads), range(graph.n_layers)
    x0, x1 = x_range(graph)
    axis = {
        "showgrid": False,
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "tickfont": {"size": scheme.size(12), "color": scheme.muted},
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
        margin={"l": scheme.size(46), "r": 4, "t": scheme.size(34), "b": scheme.size(24)},
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
            "font": {"size": scheme.size(12), "color": scheme.ink},
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
