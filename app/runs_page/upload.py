"""Import: a run that somebody packed, or a circuit file of this or another program."""

from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import state
from app.errors import show_error
from app.parts.request_form import choose_ablation, choose_model, choose_task
from app.requests import queue
from app.runs import kind_name, run_title, store
from app.runs_page.table import select_run
from app.text import plain
from engine.ablations.base import ablations
from engine.circuits.circuit import Circuit, UnknownGraphError, check_graph
from engine.circuits.files import read_circuit_file
from engine.errors import CircuitExplorerError, RequestError
from engine.models import find_model, shape_of_folder
from engine.runs.archive import unpack
from engine.runs.imports import keep_circuit
from engine.runs.kinds import make_request

_LARGEST = 200  # MB of an upload; larger ones are refused before they are read


@dataclass(frozen=True)
class _Content:
    """The content of an uploaded file: a run, a circuit, a circuit of an unknown graph, or a problem.

    Attributes:
        file_id: id of the upload.
        run_id: id of the run in an archive, which has been imported.
        known: whether that run was in the store before.
        circuit: the circuit of a file that says which graph it is of.
        problem: why the file cannot be used.
    """

    file_id: str
    run_id: str | None = None
    known: bool = False
    circuit: Circuit | None = None
    problem: str | None = None


def import_panel() -> None:
    """Draw the upload and its content; a circuit gets a form, which starts a job."""
    st.subheader("Import", anchor=False)
    upload = st.file_uploader(
        "A run (zip) or a circuit (JSON, GraphML, CSV)",
        key="runs-upload",
        max_upload_size=_LARGEST,
        help="A run as it is exported here, or a circuit as it is exported here, by EAP-IG or for the MIB "
        "benchmark. Nothing is ever unpickled.",
    )
    if upload is None:
        st.session_state.pop("runs-found", None)
        return
    content: _Content | None = st.session_state.get("runs-found")
    if content is None or content.file_id != upload.file_id:
        content = st.session_state["runs-found"] = _look(upload.file_id, upload.name, upload.getvalue())
    if content.problem is not None:
        show_error(content.problem)
    elif content.run_id is not None:
        _imported(content.run_id, content.known)
    else:
        _circuit_form(upload.name, upload.getvalue(), content.circuit)


def _look(file_id: str, name: str, data: bytes) -> _Content:
    """Read an uploaded file; a run is imported at once, and changes no other run."""
    try:
        if name.lower().endswith(".zip"):
            before = {run.run_id for run in store().list()}
            run_id = unpack(store(), data)
            select_run(store().get(run_id))
            return _Content(file_id, run_id=run_id, known=run_id in before)
        circuit = read_circuit_file(name, data)
        _suggest(circuit)
        return _Content(file_id, circuit=circuit)
    except UnknownGraphError:
        return _Content(file_id)
    except CircuitExplorerError as error:
        return _Content(file_id, problem=str(error))


def _suggest(circuit: Circuit) -> None:
    """Fill in the form with model, task, method and ablation as far as the file names them."""
    for name in ("model", "task"):
        if stated := circuit.about.get(name):
            st.session_state[f"import-{name}"] = stated
    if circuit.about.get("ablation") in ablations.names():
        st.session_state["import-ablation"] = circuit.about["ablation"]


def _imported(run_id: str, known: bool) -> None:
    try:
        request = store().get(run_id).request
    except RequestError as error:  # deleted since
        show_error(str(error))
        return
    title = f"{kind_name(request.kind)}: {run_title(request)}"
    if known:
        st.info(plain(f"This run is here already, and stays as it is. {title}"), icon=":material/check:")
    else:
        st.success(plain(f"Imported. {title}"), icon=":material/check_circle:")


def _circuit_form(name: str, data: bytes, circuit: Circuit | None) -> None:
    """Draw the form of a circuit, filled in from the file; when it is sent, a job measures the circuit.

    Args:
        name, data: of the file.
        circuit: the circuit in it; None if the file does not name its graph.
    """
    if circuit is None:
        st.info("The file does not say which graph it is of: choose its model.", icon=":material/help:")
    else:
        graph = circuit.graph
        st.caption(
            plain(
                f"{circuit.n_edges:,} of {graph.n_edges:,} edges kept, in a graph of {graph.n_layers} layers "
                f"with {graph.n_heads} heads. {_said(circuit)}"
            )
        )
    fields: dict[str, Any] = {
        "model": choose_model("import-model"),
        "task": choose_task("import-task"),
        "ablation": choose_ablation("import-ablation"),
    }
    if circuit is not None and not circuit.kept.any():
        st.caption("The file marks no edge as kept: its scores rank them.")
        n = circuit.graph.n_edges
        fields["edges"] = st.number_input("Edges to keep", 1, n, max(1, n // 20), key="import-edges")
    st.caption("The circuit is measured at every size that its scores give, which takes a job.")
    if st.button(
        "Measure it", type="primary", icon=":material/play_arrow:", width="stretch", key="runs-import"
    ):
        try:
            _start(name, data, circuit, fields)
        except CircuitExplorerError as error:
            show_error(str(error))


def _said(circuit: Circuit) -> str:
    """Return a sentence with the model, task, method and ablation that a file names."""
    words = {"model": "for model {}", "task": "task {}", "method": "found by {}", "ablation": "under {}"}
    stated = [words[name].format(circuit.about[name]) for name in words if circuit.about.get(name)]
    return f"It says: {', '.join(stated)}." if stated else "It does not say for which model and task."


def _start(name: str, data: bytes, circuit: Circuit | None, fields: dict[str, Any]) -> None:
    if not fields["model"] or not fields["task"]:
        raise RequestError("Choose the model and the task to measure it on")
    shape = shape_of_folder(find_model(fields["model"]))
    circuit = circuit or read_circuit_file(name, data, shape.graph())
    check_graph(circuit, shape.graph(circuit.graph.qkv), fields["model"])
    digest = keep_circuit(store(), circuit, shape.d_model)
    request = make_request("import", **fields, circuit=digest, qkv=circuit.graph.qkv)
    job_id = queue().submit(request)
    if queue().status(job_id).active:
        state.jobs().follow = job_id
    else:
        select_run(store().get(job_id))
