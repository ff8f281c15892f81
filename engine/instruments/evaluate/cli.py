"""circuit-explorer evaluate: how well a circuit stands in for the model, under any ablation."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.circuits.circuit import Circuit, UnknownGraphError, prune_dangling, top_edges
from engine.circuits.files import LARGEST, read_circuit_file
from engine.errors import RequestError
from engine.instruments.base import CarryOut
from engine.instruments.command import Fields, Json, RunsDir, options_of
from engine.instruments.evaluate.request import Evaluate
from engine.instruments.terminal import print_json, print_metrics, print_notes, progress
from engine.runs.imports import ranking
from engine.runs.kinds import make_request
from engine.runs.store import RunStore, open_run

_OWN: dict[str, str] = dict.fromkeys(("model", "task", "edges"), "the circuit's own")  # if it is not given


@options_of("fields", Evaluate, "ablation model task edges split n_prompts bos dtype", otherwise=_OWN)
def evaluate(
    carry_out: CarryOut,
    fields: Fields,
    circuit: Annotated[
        str, typer.Option(help="A circuit file (JSON, GraphML, CSV), a run id or the folder of a run.")
    ],
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Evaluate a circuit of a run or of a file, keeping its edges and ablating all others."""
    edges = fields.pop("edges")
    if Path(circuit).is_file():
        kept, origin = _of_file(Path(circuit), fields["model"], edges)
    else:
        kept, origin = _of_run(circuit, fields["ablation"], edges, RunStore(runs_dir))
    asked = origin | {name: value for name, value in fields.items() if value is not None}
    for name in ("model", "task"):
        if not asked.get(name):
            raise RequestError(f"'{circuit}' does not say its {name}: give --{name}")
    request: Evaluate = make_request("evaluate", circuit=circuit, **asked)
    with progress() as report:
        from engine.instruments.evaluate.find import evaluate_circuit  # torch takes seconds to import

        measured = evaluate_circuit(kept, request, report)
    print_notes(measured["notes"])
    about = {"circuit": circuit, "model": request.model, "task": request.task}
    if json:
        print_json(about | measured)
    else:
        print_metrics(measured, edges)


def _of_file(path: Path, model: str | None, edges: int | None) -> tuple[Circuit, dict[str, Any]]:
    """Return the circuit in a file, and the fields of the request that the file gives."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise RequestError(f"'{path}' cannot be read: {error.strerror}") from error
    try:
        read = read_circuit_file(str(path), data)
    except UnknownGraphError as error:
        if model is None:
            raise RequestError(f"'{path}' does not say its model: give --model") from error
        from engine.models import find_model, shape_of_folder  # brings torch

        read = read_circuit_file(str(path), data, shape_of_folder(find_model(model)).graph())
    origin = {"model": read.about["model"], "task": read.about["task"], "qkv": read.graph.qkv}
    try:
        ranked = ranking(read, edges)
        if edges is None:  # as on the page, without edges on no path from the input to the logits
            return replace(read, kept=prune_dangling(read.graph, read.kept)), origin
        print_notes(ranked.notes)
        return top_edges(read.graph, ranked.scores, edges, read.about), origin
    except RequestError as error:
        raise RequestError(f"'{path}': {error}") from error


def _of_run(
    circuit: str, ablation: str, edges: int | None, store: RunStore
) -> tuple[Circuit, dict[str, Any]]:
    """Return the circuit of a run, and the fields of the request that the run gives."""
    run = open_run(store, circuit)
    kept = run.circuit_at(edges)
    same = ("model", "task", "qkv", "bos", "dtype", "seed")
    origin = {name: getattr(run.request, name) for name in same}
    if ablation == run.request.ablation:
        origin["ablation_settings"] = run.request.ablation_settings
    return kept, origin
