"""How much the circuits have in common, and how much they would have by chance."""

from itertools import combinations

import pandas as pd
import streamlit as st

from app.components.plotly_view import plotly_view
from app.figures.compare import overlap_figure
from app.figures.style import Look
from app.panels.compare_choice import Compared
from engine.overlap import Overlap, edge_overlap, node_overlap

OF = {"edges": edge_overlap, "nodes": node_overlap}
LEAST_P = 1e-300  # less is 0 in floating point

Pairs = dict[tuple[int, int], Overlap]


def overlap_panel(groups: list[list[Compared]], compared: list[Compared], scheme: Look) -> None:
    """Draw the overlap of every two circuits of one graph; what has no overlap is named."""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.subheader("Overlap", anchor=False, width="content")
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
    of = of or "edges"
    _left_out(groups)
    pairs = overlaps(compared, of)
    if not pairs:
        return
    if len(compared) > 2:
        figure = overlap_figure([one.mark.sign for one in compared], pairs, scheme)
        alt = f"Jaccard index of the {of} of every two circuits. The table below has the numbers."
        plotly_view(figure, "compare-overlap", alt, min(60 + 44 * len(compared), 420), bar=False)
    st.dataframe(
        overlap_table(compared, pairs),
        hide_index=True,
        alt=f"Overlap of the {of} of every two circuits",
        column_config={
            "shared": st.column_config.NumberColumn(width=60),
            "Jaccard": st.column_config.NumberColumn(format="%.3f", width=65),
            "by chance": st.column_config.NumberColumn(
                format="%.1f",
                width=75,
                help="How many two random circuits of these sizes would share on average",
            ),
            "p": st.column_config.TextColumn(
                width=75, help="Probability that two random circuits of these sizes share at least as many"
            ),
        },
    )
    things = "all edges of the graph" if of == "edges" else "all heads and MLPs"
    st.caption(
        f"By chance: two sets of these sizes drawn at random from {things}; p is the hypergeometric "
        "probability of sharing at least as many. A circuit's edges have to form paths, which random ones "
        "need not, so read p as a scale and not as a verdict."
    )


def overlaps(compared: list[Compared], of: str) -> Pairs:
    """Return the overlap of every two circuits of one graph, by their places.

    Args:
        of: "edges" or "nodes".
    """
    return {
        (i, j): OF[of](first.circuit, second.circuit)
        for (i, first), (j, second) in combinations(enumerate(compared), 2)
        if first.opened.graph == second.opened.graph
    }


def overlap_table(compared: list[Compared], pairs: Pairs) -> pd.DataFrame:
    """Return one row for every two circuits."""
    rows = []
    for (i, j), found in pairs.items():
        first, second = compared[i].mark.letter, compared[j].mark.letter
        rows.append(
            {
                "circuits": f"{first} and {second}",
                "shared": found.shared,
                **(
                    {f"only {first}": found.only_first, f"only {second}": found.only_second}
                    if len(compared) == 2
                    else {"only first": found.only_first, "only second": found.only_second}
                ),
                "Jaccard": found.jaccard,
                "by chance": found.expected,
                "p": f"< {LEAST_P:.0e}" if found.p < LEAST_P else f"{found.p:.2g}",
            }
        )
    return pd.DataFrame(rows)


def _left_out(groups: list[list[Compared]]) -> None:
    """Say which circuits share a graph with no other one, and which ones are of different models."""
    alone = [group[0] for group in groups if len(group) == 1]
    if len(groups) > 1 and alone:
        names = ", ".join(
            f"{one.mark.sign} ({one.opened.graph.n_layers} layers, {one.opened.graph.n_heads} heads, "
            f"{one.opened.graph.n_edges:,} edges)"
            for one in alone
        )
        st.caption(f":material/info: Left out, for no other circuit here is of the same graph: {names}.")
    for group in groups:
        if len({one.opened.request.model for one in group}) > 1:
            letters = ", ".join(one.mark.letter for one in group)
            st.caption(
                f":material/info: {letters} are circuits of different models: the same name need not mean "
                "the same function."
            )
