"""The nodes of the circuit graph."""

from collections.abc import Mapping
from textwrap import wrap
from typing import Any

import numpy as np

from app.figures.names import node_role, short_label
from app.figures.places import edge_nodes
from app.figures.style import Look, escape
from engine.circuits.circuit import Circuit
from engine.circuits.graph import Graph


def node_traces(
    circuit: Circuit, places: np.ndarray, near: set[int], chosen: set[int], scheme: Look
) -> list[dict[str, Any]]:
    """Return the traces of the nodes: unused ones as faint dots, to show what was pruned, used ones as marks.

    Args:
        circuit: the circuit.
        places: of all nodes, [n_nodes, 2].
        near: nodes to draw at full strength; the others are dimmed.
        chosen: the selected nodes, which get a ring.
        scheme: colours of the page.
    """
    graph = circuit.graph
    ends = edge_nodes(graph)[circuit.kept]
    degree = np.bincount(ends.ravel(), minlength=len(graph.nodes))
    into = np.bincount(ends[:, 1], minlength=len(graph.nodes))
    shown = degree > 0
    shown[[0, len(graph.nodes) - 1]] = True  # input and logits always stand
    shown[list(chosen)] = True
    used, unused = np.flatnonzero(shown), np.flatnonzero(~shown)
    dense = graph.n_heads > 16
    largest = max(int(degree.max()), 1)
    # Half as much larger as text is: the places stay, and marks that grow with it would touch.
    grown = 1.0 if dense else (1 + scheme.text) / 2
    sizes = grown * ((18 if dense else 25) + (7 if dense else 10) * np.sqrt(degree[used] / largest))
    quiet = "rgba(128,128,128,0.45)"
    rims = [scheme.ring if i in chosen else scheme.ink if i in near else quiet for i in used]
    names = [graph.nodes[i] for i in used]
    sizes = np.where(np.isin(names, ["input", "logits"]), 26 * grown, sizes)
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "unused nodes",
            "x": places[unused, 0],
            "y": places[unused, 1],
            "marker": {"size": 5, "color": scheme.faint, "symbol": [_symbol(graph.nodes[i]) for i in unused]},
            "customdata": [graph.nodes[i] for i in unused],
            "text": [f"<b>{graph.nodes[i]}</b><br>not in the circuit" for i in unused],
            "hovertemplate": "%{text}<extra></extra>",
            "showlegend": False,
        },
        {
            "type": "scatter",
            "mode": "markers+text",
            "name": "nodes",
            "x": places[used, 0],
            "y": places[used, 1],
            "text": ["" if name in ("input", "logits") else short_label(name) for name in names],
            "textfont": {
                "size": grown * (8 if dense else 11 if graph.n_heads <= 12 else 9.5),
                "color": [scheme.ink if i in near else quiet for i in used],
            },
            "marker": {
                "size": sizes,
                "symbol": [_symbol(name) for name in names],
                "color": scheme.ground,
                "opacity": 1,
                "line": {"width": [3.2 if i in chosen else 1.4 for i in used], "color": rims},
            },
            "customdata": names,
            "hovertext": [
                f"<b>{name}</b>, {node_role(name)}<br>edges in {into[i]}, out {degree[i] - into[i]}"
                for name, i in zip(names, used, strict=True)
            ],
            "hovertemplate": "%{hovertext}<extra></extra>",
            "showlegend": False,
            "cliponaxis": False,
        },
    ]


def pin_trace(graph: Graph, places: np.ndarray, pins: Mapping[str, str], scheme: Look) -> dict[str, Any]:
    """Return the stars beside pinned nodes; their hover text is the note, a click is one on the node."""
    pinned = [i for i, name in enumerate(graph.nodes) if name in pins]
    notes = [pins[graph.nodes[i]] for i in pinned]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "pins",
        "x": places[pinned, 0] + 0.25,
        "y": places[pinned, 1] + 0.2,
        "marker": {"symbol": "star", "size": 12, "color": scheme.ring},
        "customdata": [graph.nodes[i] for i in pinned],
        "text": [
            f"<b>{graph.nodes[i]}</b>, pinned" + "".join(f"<br>{line}" for line in wrap(escape(note), 48))
            for i, note in zip(pinned, notes, strict=True)
        ],
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
        "cliponaxis": False,
    }


def _symbol(node: str) -> str:
    return "diamond" if node in ("input", "logits") else "square" if node.startswith("m") else "circle"
