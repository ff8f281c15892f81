"""The panel on the right: what the selected node or edge is, reads, writes and attends to."""

import numpy as np
import pandas as pd
import streamlit as st

from app import state
from app.components.plotly_view import plotly_view
from app.data import Opened, model_name
from app.figures.attention import attention_figure
from app.figures.names import edge_label, node_role
from app.figures.places import edge_kinds, edge_nodes
from app.figures.style import KIND_NAMES, Look
from engine.circuit import Circuit


def detail_panel(
    opened: Opened, circuit: Circuit, selected: tuple[str, ...], prompt: int, scheme: Look
) -> None:
    """Draw the panel for what is selected, or the strongest edges and a hint if nothing is."""
    if not selected:
        st.markdown("**Strongest edges**")
        st.caption(":material/ads_click: Click a node or an edge of the graph for its details.")
        _edge_table(circuit, circuit.kept, alt="The strongest edges of the circuit")
        return
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        name = edge_label(selected[0]) if len(selected) == 1 else f"{len(selected)} nodes"
        st.subheader(name, anchor=False, width="content")
        st.button(
            "Clear",
            key="clear",
            on_click=state.selected,
            args=((),),
            help="Esc does the same",
            type="tertiary",
            icon=":material/close:",
        )
    if selected[0] in circuit.graph.edge_index:
        _edge(circuit, selected[0])
    else:
        _nodes(opened, circuit, selected, prompt, scheme)


def _edge(circuit: Circuit, name: str) -> None:
    index = circuit.graph.edge_index[name]
    rank = int((circuit.scores > circuit.scores[index]).sum()) + 1
    source, reader = name.split("->")
    st.caption(f"{node_role(source)} → {node_role(reader.split('<')[0])}".capitalize())
    st.table(
        {
            "Score": f"{circuit.scores[index]:.4g}",
            "Rank": f"{rank:,} of {circuit.graph.n_edges:,}",
            "In this circuit": "yes" if circuit.kept[index] else "no",
        },
        border="horizontal",
    )
    ends = [source, reader.split("<")[0]]
    for column, end in zip(st.columns(2), ends, strict=True):
        column.button(
            f"Select {end}", key=f"go-{end}", on_click=state.selected, args=((end,),), width="stretch"
        )


def _nodes(opened: Opened, circuit: Circuit, names: tuple[str, ...], prompt: int, scheme: Look) -> None:
    graph = circuit.graph
    chosen = [graph.nodes.index(name) for name in names]
    ends = edge_nodes(graph)
    into = circuit.kept & np.isin(ends[:, 1], chosen)
    out = circuit.kept & np.isin(ends[:, 0], chosen)
    if len(names) == 1:
        st.caption(f"{node_role(names[0]).capitalize()} · edges in {into.sum()}, out {out.sum()}")
    else:
        st.caption(f"{', '.join(names)} · edges in {into.sum()}, out {out.sum()}")
    if (into | out).any():
        _edge_table(circuit, into | out, into, alt=f"Edges of {', '.join(names)}")
    else:
        st.text("None of its edges is in the circuit at this size. Move the slider to keep more edges.")
    if len(names) == 1 and names[0].startswith("a"):
        _attention(opened, names[0], prompt, scheme)


def _edge_table(circuit: Circuit, mask: np.ndarray, into: np.ndarray | None = None, alt: str = "") -> None:
    """A table of edges, strongest first; it is also what a screen reader has instead of the graph."""
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


def _attention(opened: Opened, name: str, prompt: int, scheme: Look) -> None:
    key = f"attention.{prompt}"
    if key not in opened.run.tensors:
        return
    layer, head = (int(part) for part in name[1:].split(".h"))
    tokens = opened.run.result["prompts"][prompt]["tokens"]
    st.markdown("**Attention pattern**")
    _prompt_choice(opened)
    figure = attention_figure(opened.run.tensors[key][layer, head], tokens, scheme)
    st.caption(
        f"Full model {model_name(opened.request.model)}, clean prompt {prompt + 1}: rows look at columns."
    )
    height = min(max(15 * len(tokens) + 95, 220), 520)
    plotly_view(figure, "attention", f"Attention pattern of {name} on prompt {prompt + 1}", height)


def _prompt_choice(opened: Opened) -> None:
    prompts = opened.run.result["prompts"]
    st.selectbox(
        "Prompt",
        range(len(prompts)),
        format_func=lambda i: f"{i + 1}. {prompts[i]['clean']}",
        key="prompt",
        label_visibility="collapsed",
        persist_state="session",
    )
