"""The panel of one edge: its score, and the loss when this edge alone is removed."""

import numpy as np
import pandas as pd
import streamlit as st

from app import state
from app.figures.curve import interval_text, number_text
from app.figures.names import node_role
from app.parts.asked import ask_button
from app.requests import finished, measure_request
from app.runs import Opened, measured
from app.text import plain
from engine.circuits.circuit import Circuit
from engine.instruments.measure.request import Measure
from engine.instruments.measure.result import MeasureResult
from engine.runs.combine import Chosen, Part
from engine.runs.folder import Run

CIRCUIT, LESS, MODEL_LESS = "this circuit", "this circuit without the edge", "the model without the edge"


def edge_panel(opened: Opened, circuit: Circuit, name: str, size: int, under: str) -> None:
    """Draw the panel.

    Args:
        opened: the run shown.
        circuit: its circuit of the size shown.
        name: of the edge.
        size: edges requested of that circuit.
        under: the ablation of the removed edge.
    """
    index = circuit.graph.edge_index[name]
    kept, score = bool(circuit.kept[index]), circuit.scores[index]
    rank = int((circuit.scores > score).sum()) + 1
    source, reader = name.split("->")
    st.caption(f"From {node_role(source)} to {node_role(reader.split('<')[0])}")
    st.table(
        {
            "Score": "none" if np.isnan(score) else f"{score:.4g}",
            "Rank": "none" if np.isnan(score) else f"{rank:,} of {circuit.graph.n_edges:,}",
            "In this circuit": "yes" if kept else "no",
        },
        border="horizontal",
    )
    ends = [source, reader.split("<")[0]]
    for column, end in zip(st.columns(2), ends, strict=True):
        column.button(
            f"Select {end}", key=f"go-{end}", on_click=state.selected, args=((end,),), width="stretch"
        )
    st.markdown("**Removing this edge alone**")
    request = removal_request(opened, name, kept, size, under)
    if (run := finished(request)) is not None:
        _effect(run)
        return
    st.caption(f"What is lost under {plain(under)} when this edge is ablated and nothing else is changed.")
    ask_button([request], "Measure its effect", "measure-edge")


def removal_request(opened: Opened, name: str, kept: bool, size: int, under: str) -> Measure:
    """Return the request that measures the circuit and the model without an edge."""
    part = Part(run=opened.run.run_id, edges=size)
    of_circuit = [Chosen(name=CIRCUIT, parts=[part]), Chosen(name=LESS, parts=[part], without=[name])]
    circuits = [*(of_circuit if kept else []), Chosen(name=MODEL_LESS, without=[name])]
    return measure_request(opened.run, under, circuits)


def _effect(run: Run[Measure, MeasureResult]) -> None:
    result, metric = run.result, run.result.metric
    rows = [
        {
            "": point.name,
            "KL (nats)": number_text(point.kl),
            metric.replace("_", " "): number_text(point.metric(metric)),
        }
        for point in result.curve
    ]
    of_model = number_text(result.model.metric(metric))
    rows.append({"": "the model", "KL (nats)": "0", metric.replace("_", " "): of_model})
    st.table(pd.DataFrame(rows), hide_index=True, border="horizontal", alt="What removing this edge changes")
    intervals = "; ".join(f"{point.name} {interval_text(point.kl)}" for point in result.curve)
    st.caption(plain(f"KL: {intervals}. {measured(run)}"))
