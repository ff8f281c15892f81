"""The panel on the right: role, incoming and outgoing edges, effects and attention of the selection."""

import numpy as np
import pandas as pd
import streamlit as st

from app import state
from app.explore.attention import attention_panel
from app.explore.edge import edge_panel
from app.explore.effects import effects_panel
from app.explore.pins import note_field, pin_button, pins_list
from app.figures.names import edge_label, node_role
from app.figures.places import edge_kinds, edge_nodes
from app.figures.style import KIND_NAMES, Look
from app.runs import Opened
from engine.circuits.circuit import Circuit
from engine.circuits.paths import Way
from engine.runs.folder import Run
from engine.runs.record import CurveResult
from engine.runs.request import OfACircuit

WAYS: dict[Way, str] = {
    "neighbours": "its edges",
    "upstream": "what feeds it",
    "downstream": "what it feeds",
    "both": "both",
}


def detail_panel(
    opened: Opened,
    circuit: Circuit,
    selected: tuple[str, ...],
    size: int,
    shown: Run[OfACircuit, CurveResult],
    scheme: Look,
) -> None:
    """Draw the panel of the selection; without a selection, the strongest edges and a hint.

    Args:
        opened: the run shown.
        circuit: its circuit of the size shown.
        selected: nodes, or one edge.
        size: edges requested of that circuit.
        shown: the run whose evaluation is shown; removed edges are ablated by its ablation.
        scheme: colours of the page.
    """
    if not selected:
        pins_list(opened)
        st.markdown("**Strongest edges**")
        st.caption(":material/ads_click: Click a node or an edge of the graph for its details.")
        _edge_table(circuit, circuit.kept, alt="The strongest edges of the circuit")
        return
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        name = edge_label(selected[0]) if len(selected) == 1 else f"{len(selected)} nodes"
        st.subheader(name, anchor=False, width="content")
        with st.container(horizontal=True, width="content"):
            if len(selected) == 1 and selected[0] in circuit.graph.nodes:
                pin_button(opened, selected[0])
            st.button(
                "Clear",
                key="clear",
                on_click=state.selected,
                args=((),),
                help="Esc does the same",
                type="tertiary",
                icon=":material/close:",
            )
    st.pills(
        "Highlight",
        list(WAYS),
        key="trace",
        wrap=True,
        format_func=WAYS.__getitem__,
        required=True,
        help="Within the circuit: the edges that touch what is selected, every path from the input to it, or "
        "every path from it to the logits.",
        persist_state="session",
    )
    if selected[0] in circuit.graph.edge_index:
        edge_panel(opened, circuit, selected[0], size, shown.request.ablation)
    else:
        _nodes(opened, circuit, selected, scheme)


def _nodes(opened: Opened, circuit: Circuit, names: tuple[str, ...], scheme: Look) -> None:
    graph = circuit.graph
    chosen = [graph.nodes.index(name) for name in names]
    ends = edge_nodes(graph)
    into = circuit.kept & np.isin(ends[:, 1], chosen)
    out = circuit.kept & np.isin(ends[:, 0], chosen)
    title = node_role(names[0]) if len(names) == 1 else ", ".join(names)
    st.caption(f"{title[0].upper()}{title[1:]} · edges in {into.sum()}, out {out.sum()}")
    view = "Edges"
    if len(names) == 1:
        views = ["Edges", "Effects", *(["Attention"] if names[0].startswith("a") else []), "Note"]
        if st.session_state.get("detail") not in views:
            st.session_state["detail"] = "Edges"
        view = st.pills(
            "Detail",
            views,
            key="detail",
            wrap=True,
            required=True,
            label_visibility="collapsed",
            persist_state="session",
        )
    if view == "Effects":
        effects_panel(opened, names[0], scheme)
    elif view == "Attention":
        attention_panel(opened, names[0], scheme)
    elif view == "Note":
        note_field(opened, names[0])
    elif (into | out).any():
        _edge_table(circuit, into | out, into, alt=f"Edges of {', '.join(names)}")
    else:
        st.text("None of its edges is in the circuit at this size. Move the slider to keep more edges.")


def _edge_table(circuit: Circuit, mask: np.ndarray, into: np.ndarray | None = None, alt: str = "") -> None:
    """Draw a table of edges, strongest first; a screen reader reads it in place of the graph."""
    graph = circuit.graph
    order = np.flatnonzero(mask)
    order = order[np.argsort(-circuit.scores[order], kind="stable")][:1000]
    kinds = edge_kinds(graph)[order]
    sources = [graph.sources[i] for i in graph.edges[order, 0]]
    readers = [graph.readers[i].split("<")[0] for i in graph.edges[order, 1]]
    kind_names = [KIND_NAMES[kind] if kind in "qkv" else "–" for kind in kinds]
    if into is None:
        columns = {"from": sources, "to": readers, "input": kind_names}
    else:
        way = np.where(into[order], "in", "out")
        other = [
            source if w == "in" else reader for source, reader, w in zip(sources, readers, way, strict=True)
        ]
        columns = {"way": way, "other": other, "input": kind_names}
    table = pd.DataFrame(columns | {"score": circuit.scores[order].astype(float)})
    st.dataframe(
        table,
        hide_index=True,
        height=min(36 * (len(table) + 1) + 2, 254),
        row_height=36,
        alt=alt,
        column_config={"score": st.column_config.NumberColumn(format="%.3g", width="small")},
    )
