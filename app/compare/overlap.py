"""The panel of overlaps: how many edges or nodes circuits share, and how many they would share by chance."""

from itertools import combinations

import pandas as pd
import streamlit as st

from app.compare.choice import Compared, heading
from app.compare.figures.overlap import matrix_figure, pair_figure
from app.components.plotly_view import plotly_view
from app.figures.style import Look
from engine.circuits.overlap import Overlap, edge_overlap, node_overlap

OF = {"edges": edge_overlap, "nodes": node_overlap}
LEAST_P = 1e-300  # less is 0 in floating point
MOST_ROWS = 6  # of a table that is shown whole

Pairs = dict[tuple[int, int], Overlap]


def overlap_panel(groups: list[list[Compared]], compared: list[Compared], scheme: Look) -> None:
    """Draw the overlap of every pair of circuits of one graph; name the circuits that have none."""
    edges = overlaps(compared, "edges")
    with heading("Overlap"):
        of = _choose_of() if len(edges) > 1 else "edges"
    _left_out(groups)
    if len(edges) == 1:
        ((i, j),) = edges
        both = {name: overlaps(compared, name)[i, j] for name in OF}
        figure = pair_figure(compared[i].mark, compared[j].mark, both, scheme)
        alt = "Edges and nodes that both circuits have or one has alone. The table below has the numbers."
        plotly_view(figure, "compare-overlap", alt, 150, bar=False)
        _table(pd.concat([pair_table(compared, overlaps(compared, name), name) for name in OF]))
    elif edges:
        pairs = overlaps(compared, of)
        figure = matrix_figure([side.mark.sign for side in compared], pairs, scheme)
        alt = f"Jaccard index of the {of} of every two circuits. The table below has the numbers."
        plotly_view(figure, "compare-overlap", alt, min(60 + 44 * len(compared), 420), bar=False)
        _table(pair_table(compared, pairs, of))


def _choose_of() -> str:
    if st.session_state.get("compare-of") not in OF:
        st.session_state["compare-of"] = "edges"
    of = st.segmented_control(
        "Overlap of",
        list(OF),
        key="compare-of",
        required=True,
        label_visibility="collapsed",
        persist_state="session",
    )
    return of or "edges"


def _table(table: pd.DataFrame) -> None:
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    chance = "How many two random circuits of these sizes would share on average"
    p = "Probability that two random circuits of these sizes share at least as many"
    st.dataframe(
        table,
        hide_index=True,
        height="content" if len(table) <= MOST_ROWS else 282,
        alt="Overlap of every two circuits",
        column_config={
            "shared": number(width=60),
            "Jaccard": number(format="%.3f", width=65),
            "by chance": number(format="%.1f", width=75, help=chance),
            "p": text(width=75, help=p),
        },
    )
    st.caption(
        "By chance: two sets of these sizes drawn at random from all edges of the graph, or from all heads "
        "and MLPs; p is the hypergeometric probability of sharing at least as many. A circuit's edges form "
        "paths, which random ones need not: read p as a scale, not as a verdict."
    )


def overlaps(compared: list[Compared], of: str) -> Pairs:
    """Return the overlap of every pair of circuits of one graph, by their indices.

    Args:
        of: "edges" or "nodes".
    """
    return {
        (i, j): OF[of](first.circuit, second.circuit)
        for (i, first), (j, second) in combinations(enumerate(compared), 2)
        if first.opened.graph == second.opened.graph
    }


def pair_table(compared: list[Compared], pairs: Pairs, of: str) -> pd.DataFrame:
    """Return one row per pair of circuits; with only two circuits, their letters name the columns."""
    rows = []
    for (i, j), overlap in pairs.items():
        first, second = compared[i].mark.letter, compared[j].mark.letter
        alone = len(pairs) == 1
        rows.append(
            {
                "of" if alone else "circuits": of if alone else f"{first} and {second}",
                "shared": overlap.shared,
                f"only {first if alone else 'first'}": overlap.only_first,
                f"only {second if alone else 'second'}": overlap.only_second,
                "Jaccard": overlap.jaccard,
                "by chance": overlap.expected,
                "p": f"< {LEAST_P:.0e}" if overlap.p < LEAST_P else f"{overlap.p:.2g}",
            }
        )
    return pd.DataFrame(rows)


def _left_out(groups: list[list[Compared]]) -> None:
    """Name the circuits whose graph no other circuit has, and those of different models."""
    alone = [group[0] for group in groups if len(group) == 1]
    if len(groups) > 1 and alone:
        names = ", ".join(
            f"{side.mark.sign} ({side.opened.graph.n_layers} layers, {side.opened.graph.n_heads} heads, "
            f"{side.opened.graph.n_edges:,} edges)"
            for side in alone
        )
        st.caption(f":material/info: Left out, for no other circuit here is of the same graph: {names}.")
    for group in groups:
        if len({side.opened.request.model for side in group}) > 1:
            letters = ", ".join(side.mark.letter for side in group)
            st.caption(
                f":material/info: {letters} are circuits of different models: the same name need not mean "
                "the same function."
            )
