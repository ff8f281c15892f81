"""The circuits side by side, at the same coordinates and with the same zoom; and their edges as a table."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app.compare.choice import Compared, heading
from app.compare.figures.graphs import compare_figure
from app.components.plotly_view import plotly_view
from app.figures.graph import MOST_EDGES
from app.figures.names import edge_label, node_role
from app.figures.places import edge_kinds, edge_nodes
from app.figures.style import KIND_NAMES, Look
from app.runs import provenance
from app.text import percent, plain
from engine.circuits.graph import Graph
from engine.circuits.paths import traced_edges

WIDEST_LABEL = 58  # characters that fit over a picture


def selection() -> tuple[str, ...]:
    """Return the selection of all pictures: the name of a node or of an edge, or ()."""
    return st.session_state.get("compare-select", ())


def circuit_graph(side: Compared, group: list[Compared], place: int, scheme: Look) -> None:
    """Draw the picture of one circuit.

    Args:
        side: the circuit, with its run.
        group: the runs of the same graph, this one included.
        place: its index on the page, from 0 on.
    """
    circuit, selected = side.circuit, selection()
    known = tuple(name for name in selected if _knows(side.opened.graph, (name,)))
    figure = compare_figure(
        circuit,
        side.mark,
        {other.mark.letter: other.circuit for other in group},
        (_short(side.label), _numbers(side)),
        scheme,
        known,
        side.opened.signed,
    )
    plotly_view(
        figure,
        f"compare-graph-{place}",
        f"Circuit {side.mark.letter}, {side.label}, with {circuit.n_edges} edges. "
        "The table below lists them.",
        height=max(470, 47 * (side.opened.graph.n_layers + 5)),
        on_event=_on_event,
        zoom=True,
        clearable=bool(selected),
        link="compare",
    )
    st.caption(plain(provenance(side.opened, side.evaluation.run)))
    if circuit.n_edges > MOST_EDGES:
        st.caption(f"{MOST_EDGES:,} of {circuit.n_edges:,} edges shown: the strongest ones.")
    if known and not traced_edges(side.opened.graph, side.circuit.kept, known, "neighbours").any():
        st.caption(f":material/info: No edge of {side.mark.letter} at this size touches what is selected.")


def _on_event(event: dict[str, Any]) -> None:
    if event["kind"] == "clear":
        st.session_state["compare-select"] = ()
    elif event["kind"] == "click":
        st.session_state["compare-select"] = (event["id"],)


def edge_table(groups: list[list[Compared]]) -> None:
    """Draw the edges of all circuits of one graph as a table; with a selection, only the selected edges."""
    selected = selection()
    group = next((group for group in groups if _knows(group[0].opened.graph, selected)), groups[0])
    graph = group[0].opened.graph
    with heading(edge_label(selected[0]) if selected and _knows(graph, selected) else "Edges"):
        if selected:
            st.button(
                "Clear",
                key="compare-clear",
                on_click=lambda: _on_event({"kind": "clear"}),
                help="Esc does the same",
                type="tertiary",
                icon=":material/close:",
            )
    table = edges_of(group, selected if _knows(graph, selected) else ())
    if table.empty:
        st.text("None of its edges is in a circuit at this size. Move the slider to keep more edges.")
        return
    ranks = {side.mark.letter: st.column_config.NumberColumn(side.mark.sign, width=60) for side in group}
    st.dataframe(
        table,
        hide_index=True,
        height=min(35 * (len(table) + 1) + 2, 282),
        alt="The edges of the circuits, with their rank in every run",
        column_config=ranks
        | {"from": st.column_config.Column(width=60), "to": st.column_config.Column(width=60)}
        | {"input": st.column_config.Column(width=60), "in": st.column_config.Column(width=80)},
    )
    words = f"{node_role(selected[0]).capitalize()}. " if selected and selected[0] in graph.nodes else ""
    st.caption(
        f"{words}Under each letter the edge's rank by score in that run, also where its circuit lacks the "
        "edge. Click a node or an edge in a picture to select it in all."
    )


def edges_of(group: list[Compared], selected: tuple[str, ...]) -> pd.DataFrame:
    """Return the edges in at least one circuit of a group, best rank first.

    Args:
        group: runs of one graph.
        selected: the name of a node, for its edges alone, or of an edge, which is listed in any case.

    Returns:
        Columns from, to, input, in (letters of the circuits that have it), and per letter the rank.
    """
    graph = group[0].opened.graph
    kept = np.array([side.circuit.kept for side in group])
    rows = np.any(kept, axis=0)
    if selected and selected[0] in graph.edge_index:
        rows = np.zeros(graph.n_edges, dtype=bool)
        rows[graph.edge_index[selected[0]]] = True
    elif selected:
        rows &= (edge_nodes(graph) == graph.nodes.index(selected[0])).any(axis=1)
    ranks = np.array([_ranks(side.circuit.scores) for side in group])
    order = np.flatnonzero(rows)
    order = order[np.argsort(np.where(kept, ranks, np.inf).min(axis=0)[order], kind="stable")]
    kinds = edge_kinds(graph)[order]
    letters = [side.mark.letter for side in group]
    columns: dict[str, Any] = {
        "from": [graph.sources[i] for i in graph.edges[order, 0]],
        "to": [graph.readers[i].split("<")[0] for i in graph.edges[order, 1]],
        "input": [KIND_NAMES[kind] if kind in "qkv" else "–" for kind in kinds],
        "in": [
            ", ".join(letter for letter, has in zip(letters, kept[:, i], strict=True) if has) or "–"
            for i in order
        ],
    }
    for letter, rank in zip(letters, ranks, strict=True):
        columns[letter] = pd.array(
            [None if np.isnan(value) else int(value) for value in rank[order]], "Int64"
        )
    return pd.DataFrame(columns)


def _ranks(scores: np.ndarray) -> np.ndarray:
    """Return the rank of every score from 1 on, the highest first; nan where there is no score."""
    ranks = np.empty(len(scores))
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return np.where(np.isfinite(scores), ranks, np.nan)


def _knows(graph: Graph, names: tuple[str, ...]) -> bool:
    return all(name in graph.nodes or name in graph.edge_index for name in names)


def _short(label: str) -> str:
    return label if len(label) <= WIDEST_LABEL else f"{label[: WIDEST_LABEL - 1]}…"


def _numbers(side: Compared) -> str:
    """Return the second line over a picture: number of edges and metrics."""
    n, total = side.circuit.n_edges, side.opened.graph.n_edges
    edges = f"{n:,} of {total:,} edges ({percent(n, total)})"
    point = side.point
    if point is None:
        return f"{edges} · not evaluated"
    faithfulness = point.faithfulness.mean
    faithful = "" if faithfulness is None else f" · faithfulness {faithfulness:.3g}"
    return f"{edges} · KL {point.kl.mean:.3g} nats{faithful}"
