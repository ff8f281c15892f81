"""Figure of one of several compared circuits: shared edges thin and pale, its own edges strong.

Every figure has the coordinates of `app.figures.graph`, so that a node is at the same place in all.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app.figures.edges import POINTS, handles, line_trace, swatch, thinner
from app.figures.graph import DIMMED, Drawn, drawn_edges, graph_layout
from app.figures.marks import Mark
from app.figures.nodes import node_traces
from app.figures.places import curves, edge_kinds, edge_nodes, mlp_column, node_places
from app.figures.style import Look, escape
from engine.circuits.circuit import Circuit
from engine.circuits.overlap import used_nodes

ALL, SOME, ALONE = "all", "some", "alone"  # which of the circuits side by side have an edge
WIDTHS = {
    ALL: (0.8, 0.9, 1.0, 1.2),
    SOME: (1.2, 1.4, 1.7, 2.2),
    ALONE: (1.4, 1.8, 2.6, 3.8),
}  # px, by quarter
OPACITIES = {ALL: 0.4, SOME: 0.85, ALONE: 0.9}
SWATCHES = {ALL: 1.2, SOME: 2.4, ALONE: 3.8}  # px


def edge_classes(kept: Sequence[np.ndarray]) -> np.ndarray:
    """Return how many circuits have each edge, str [n_edges]: "all", "some", "alone" (one) or "" (none).

    Args:
        kept: bool [n_edges] of each circuit; with a single circuit, its edges count as "alone".
    """
    count = np.sum(kept, axis=0)
    return np.select([count == 0, count == 1, count == len(kept)], ["", ALONE, ALL], SOME)


def compare_figure(
    circuit: Circuit,
    mark: Mark,
    among: Mapping[str, Circuit],
    title: tuple[str, str],
    scheme: Look,
    selected: Sequence[str] = (),
    signed: bool = False,
) -> go.Figure:
    """Return the picture of one of several circuits.

    Args:
        circuit: the one shown.
        mark: its letter and colour.
        among: all compared circuits of the same graph, this one included, by letter.
        title: two lines over the picture, plain text.
        scheme: colours of the page.
        selected: names of nodes, or of an edge; edges that touch them stay strong, the others are dimmed.
        signed: scores are signed effects, so negative ones are dotted.
    """
    graph = circuit.graph
    drawn = drawn_edges(circuit, signed)
    edges, ends = drawn.edges, edge_nodes(graph)
    chosen = {graph.nodes.index(name) for name in selected if name in graph.nodes}
    picked = [graph.edge_index[name] for name in selected if name in graph.edge_index]
    near = chosen | set(ends[picked].ravel().tolist())
    lit = np.isin(edges, picked) | np.isin(ends[edges], list(chosen)).any(axis=1)
    if near:
        near |= set(ends[edges[lit]].ravel().tolist())
    dimmed = ~lit if near else np.zeros(len(edges), dtype=bool)
    classes = edge_classes([other.kept for other in among.values()])
    negative = circuit.scores[edges] < 0 if signed else np.zeros(len(edges), dtype=bool)
    places = node_places(graph)
    kinds = edge_kinds(graph)[edges]
    paths = curves(places[ends[edges, 0]], places[ends[edges, 1]], kinds, POINTS, outward=mlp_column(graph))

    traces = _edge_traces(paths, classes[edges], drawn, negative, dimmed, mark, scheme)
    traces += _legend(classes[circuit.kept], len(among), negative, mark, scheme)
    having = np.array([other.kept for other in among.values()])
    members = [
        f"in {_listed([letter for letter, has in zip(among, having[:, i], strict=True) if has])}"
        for i in edges
    ]
    traces.append(handles(circuit, edges, paths, classes[edges].tolist(), members if len(among) > 1 else ()))
    traces += _nodes(circuit, places, near or set(range(len(graph.nodes))), chosen, among, mark, scheme)
    return go.Figure({"data": traces, "layout": _layout(circuit, mark, title, scheme)}, skip_invalid=False)


def _edge_traces(
    paths: np.ndarray,
    classes: np.ndarray,
    drawn: Drawn,
    negative: np.ndarray,
    dimmed: np.ndarray,
    mark: Mark,
    scheme: Look,
) -> list[dict[str, Any]]:
    """Return one trace per style: dimmed edges, then shared ones, then the circuit's own; weak first."""
    factor, colours = thinner(len(paths)), _colours(mark, scheme)
    traces = []
    for dim in (True, False):
        for group in (ALL, SOME, ALONE):
            opacity = DIMMED if dim else 0.95 if dimmed.any() else OPACITIES[group]
            for quarter in range(4):
                for minus in (False, True):
                    mask = (
                        (classes == group)
                        & (drawn.quarter == quarter)
                        & (negative == minus)
                        & (dimmed == dim)
                    )
                    if mask.any():
                        width = WIDTHS[group][quarter] * factor
                        traces.append(line_trace(paths[mask], colours[group], width, opacity, group, minus))
    return traces


def _legend(
    classes: np.ndarray, n: int, negative: np.ndarray, mark: Mark, scheme: Look
) -> list[dict[str, Any]]:
    """Return swatches with the number of edges each stands for, in fixed order."""
    names = {ALONE: f"only {mark.letter}" if n > 1 else "edges"}
    if n > 2:
        names[SOME] = f"in {'2' if n == 3 else f'2 to {n - 1}'} of {n}"
    if n > 1:
        names[ALL] = "in both" if n == 2 else f"in all {n}"
    colours = _colours(mark, scheme)
    swatches = [
        swatch(f"{name} ({int((classes == group).sum()):,})", group, colours[group], SWATCHES[group])
        for group, name in names.items()
    ]
    if negative.any():
        swatches.append(swatch("negative", "negative", scheme.ink, dotted=True))
    return swatches


def _colours(mark: Mark, scheme: Look) -> dict[str, str]:
    return {ALL: scheme.muted, SOME: scheme.muted, ALONE: mark.colour}


def _nodes(
    circuit: Circuit,
    places: np.ndarray,
    near: set[int],
    chosen: set[int],
    among: Mapping[str, Circuit],
    mark: Mark,
    scheme: Look,
) -> list[dict[str, Any]]:
    """Return the traces of nodes; those that no other circuit uses have a rim in this circuit's colour."""
    traces = node_traces(circuit, places, near, chosen, scheme)
    others = [used_nodes(other) for letter, other in among.items() if letter != mark.letter]
    if not others:
        return traces
    elsewhere = np.any(others, axis=0)
    for trace in traces:
        if trace["name"] != "nodes":
            continue
        index = {name: i for i, name in enumerate(circuit.graph.nodes)}
        line = trace["marker"]["line"]
        for place, name in enumerate(trace["customdata"]):
            i = index[name]
            if i in near and i not in chosen and not elsewhere[i] and name not in ("input", "logits"):
                line["color"][place], line["width"][place] = mark.colour, 2.4
    return traces


def _layout(circuit: Circuit, mark: Mark, title: tuple[str, str], scheme: Look) -> dict[str, Any]:
    layout = graph_layout(circuit.graph, scheme)
    glyph = f'<span style="color:{mark.colour}">{mark.glyph}</span>'
    lines = (
        (f"{glyph} <b>{mark.letter}</b>  {escape(title[0])}", 15, scheme.ink, 44),
        (escape(title[1]), 12, scheme.muted, 27),
    )
    place = {"xref": "paper", "yref": "paper", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom"}
    layout["annotations"] = [
        place
        | {"text": text, "font": {"size": scheme.size(size), "color": colour}, "showarrow": False}
        | {"xshift": -scheme.size(42), "yshift": scheme.size(up)}
        for text, size, colour, up in lines
    ]
    layout["margin"] |= {"t": scheme.size(72)}
    return layout


def _listed(letters: list[str]) -> str:
    """Return letters as words: "A", "A and C", "A, B and C"."""
    return letters[0] if len(letters) == 1 else f"{', '.join(letters[:-1])} and {letters[-1]}"
