"""The panel of one edge: its score, and what is lost when it alone is removed."""

import pandas as pd
import streamlit as st

from app import state
from app.data import Opened
from app.figures.curve import interval_text
from app.figures.names import node_role
from app.jobs import measure_request
from app.panels.asked import ask_button, finished
from app.text import plain
from engine.circuit import Circuit
from engine.errors import CircuitExplorerError
from engine.request import Chosen, Part, Request
from engine.runs import Run

CIRCUIT, LESS, MODEL_LESS = "this circuit", "this circuit without the edge", "the model without the edge"


def edge_panel(opened: Opened, circuit: Circuit, name: str, size: int, under: str) -> None:
    """Draw the panel.

    Args:
        opened: the run shown.
        circuit: its circuit of the size shown.
        name: of the edge.
        size: edges requested of that circuit.
        under: the ablation that stands in for the edge.
    """
    index = circuit.graph.edge_index[name]
    kept = bool(circuit.kept[index])
    rank = int((circuit.scores > circuit.scores[index]).sum()) + 1
    source, reader = name.split("->")
    st.caption(f"From {node_role(source)} to {node_role(reader.split('<')[0])}")
    st.table(
        {
            "Score": f"{circuit.scores[index]:.4g}",
            "Rank": f"{rank:,} of {circuit.graph.n_edges:,}",
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
    try:
        request = removal_request(opened, name, kept, size, under)
    except CircuitExplorerError as error:
        st.caption(plain(f"It cannot be measured: {error}"))
        return
    if (run := finished(request)) is not None:
        _effect(run)
        return
    st.caption(f"What is lost under {under} when this edge is ablated and nothing else is changed.")
    ask_button([request], "Measure its effect", "measure-edge")


def removal_request(opened: Opened, name: str, kept: bool, size: int, under: str) -> Request:
    """Return the request that measures the circuit and the model without an edge.

    Raises:
        RequestError: the run's model or task is not there any more.
    """
    part = Part(run=opened.run.run_id, edges=size)
    of_circuit = [Chosen(name=CIRCUIT, parts=[part]), Chosen(name=LESS, parts=[part], without=[name])]
    circuits = [*(of_circuit if kept else []), Chosen(name=MODEL_LESS, without=[name])]
    origin = opened.request
    return measure_request(origin.model, origin.task, under, circuits, opened.run.run_id)


def _effect(run: Run) -> None:
    result, metric = run.result, run.result["metric"]
    whole = {"name": "the model", "kl": {"mean": 0.0}, metric: result["model"][metric]}
    rows = [
        {
            "": point["name"],
            "KL (nats)": f"{point['kl']['mean']:.3g}",
            metric.replace("_", " "): f"{point[metric]['mean']:.3g}",
        }
        for point in [*result["curve"], whole]
    ]
    st.table(pd.DataFrame(rows), hide_index=True, border="horizontal", alt="What removing this edge changes")
    intervals = "; ".join(f"{point['name']} {interval_text(point['kl'])}" for point in result["curve"])
    st.caption(f"KL: {intervals}. {result['summary']['kl']['n']} prompts, run {run.run_id}")
