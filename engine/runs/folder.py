"""What one run folder holds, and how it is read (with suspicion) and written.

    request.json           what was asked (engine.runs.request.Request)
    result.json            what came out: summary, curve, prompts, timings, versions
    tensors.safetensors    discover, import: "scores" [n_edges]; discover, own prompts: "attention.<i>"
                           [n_layers, n_heads, S, S]; importance: "kl", "answer", "wrong_answer"
                           [n_nodes, n_prompts], and "constants.<input|heads|mlps>" if they were trained;
                           stability: "frequency" [n_edges]; trace: "effects" and "restored" [S, C, draws,
                           3] of a prompt, or "effects" [n_prompts, classes, C, 3] of a task with "clean" and
                           "corrupted" [n_prompts, 3], C layers or heads layer by layer, and "constants"
                           [classes · L + 1, D] if trained;
                           train-lenses: "kl.<lens>" [n_texts, n_places] and "<lens>.<parameter>"; lens: see
                           `engine.lenses.reading`
    circuit.json           discover, import: the circuit at the requested size

Everything is checked when a folder is opened, which reads the header of the tensors alone; the arrays are
read when asked for. A folder may come from anywhere: sizes are capped and nothing is ever unpickled.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from engine.circuits.circuit import Circuit, circuit_from_json, graph_from_json, top_edges
from engine.circuits.graph import Graph
from engine.errors import RequestError
from engine.files import parse_json
from engine.lenses.shapes import INTEGERS, shapes_of_reading, shapes_of_training
from engine.runs.record import (
    FORMS,
    CurveResult,
    LensResult,
    Record,
    Result,
    TraceResult,
    TrainLensesResult,
    misfit,
)
from engine.runs.request import Request

SCHEMA = 1
_MAX_JSON = 64 * 2**20
_MAX_TENSORS = 4 * 2**30
_FLOATS = ("F16", "F32", "F64")
_INTEGERS = ("I32",)


class Tensors(Mapping[str, np.ndarray]):
    """The arrays of a safetensors file by name, each read when it is asked for."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.types: dict[str, str] = {}
        if path is not None:
            with safe_open(path, framework="numpy") as file:
                for name in file.keys():  # noqa: SIM118 - it is no dictionary
                    array = file.get_slice(name)
                    self.shapes[name], self.types[name] = tuple(array.get_shape()), array.get_dtype()

    def __getitem__(self, name: str) -> np.ndarray:
        """Return one array; KeyError if there is none of that name."""
        if self._path is None or name not in self.shapes:
            raise KeyError(name)
        with safe_open(self._path, framework="numpy") as file:
            return file.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self.shapes)

    def __len__(self) -> int:
        """Return the number of arrays."""
        return len(self.shapes)


@dataclass(frozen=True)
class Run:
    """One finished run.

    Attributes:
        run_id: its name, `[a-z0-9-]+`.
        folder: where it lies.
        shipped: whether it came with the program and is read-only.
        request: what was asked.
        result: what came out.
        circuit: the parsed circuit.json of a discovery or an import, else None; `circuit_at` gives those of
            other sizes.
        tensors: by name, as far as this kind of run has any.
    """

    run_id: str
    folder: Path
    shipped: bool
    request: Request
    result: dict[str, Any]
    circuit: dict[str, Any] | None
    tensors: Tensors

    def circuit_at(self, edges: int | None = None) -> Circuit:
        """Return the circuit of the highest scores, dangling edges pruned; None takes the requested size.

        Raises:
            RequestError: more edges than the graph has, or a run without scores of its own.
        """
        if self.circuit is None:
            origin = self.request.circuit
            instead = "" if origin is None else f": export the run '{origin}'"
            raise RequestError(f"run '{self.run_id}' has no circuit of its own{instead}")
        asked = circuit_from_json(self.circuit)
        k = self.request.target_edges(asked.graph.n_edges) if edges is None else edges
        return top_edges(asked.graph, self.tensors["scores"], k, asked.about)


def read_run(folder: Path, shipped: bool) -> Run:
    """Open the run in `folder` and check it.

    Raises:
        RequestError: a file is missing, cut short, of a newer schema or does not fit the others; one line
            that names the folder and the fault.
    """
    try:
        return open_folder(folder, shipped)
    except FaultError as fault:
        raise RequestError(f"run folder '{folder}' cannot be read: {fault}") from fault


def write_run(
    folder: Path,
    request: Request,
    result: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray] | None,
    circuit: Mapping[str, Any] | None,
) -> None:
    """Write the files of a run into an existing, empty `folder`."""
    _write_json(folder / "request.json", request.model_dump(mode="json", by_alias=True))
    _write_json(folder / "result.json", result)
    if tensors is not None:
        arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
        tensors_file = folder / "tensors.safetensors"
        save_file(arrays, tensors_file)
        tensors_file.chmod(0o644)  # save_file lets only the owner read
    if circuit is not None:
        _write_json(folder / "circuit.json", circuit)
    folder.chmod(0o755)  # mkdtemp makes folders that only their owner can read


class FaultError(Exception):
    """What is wrong with a run folder, in one line that does not name it."""


def open_folder(folder: Path, shipped: bool) -> Run:
    """Open the run in `folder` and check it; FaultError instead of an error that names the folder."""
    raw_request = _read_json(folder / "request.json")
    result = _read_json(folder / "result.json")
    try:
        request = Request.model_validate(raw_request)
    except ValidationError as error:
        raise FaultError(f"request.json: {first_problem(error)}") from error
    try:
        form = FORMS[request.kind].model_validate(result)
    except ValidationError as error:
        raise FaultError(f"result.json: {first_problem(error)}") from error
    if isinstance(form, TraceResult):
        _check_trace(form, request)
    if fault := misfit(form, [chosen.name for chosen in request.circuits]):
        raise FaultError(f"result.json: {fault}")
    circuit, graph, tensors = None, None, Tensors(None)
    if request.kind in ("discover", "import"):
        circuit = _read_json(folder / "circuit.json")
        assert isinstance(form, CurveResult)
        graph = _graph(circuit, request, form)
    if circuit is not None or (folder / "tensors.safetensors").exists():
        tensors = _open_tensors(folder / "tensors.safetensors")
    _check_shapes(tensors, form, graph)
    if isinstance(form, TraceResult):
        _check_heads(tensors, form, request)
    return Run(folder.name, folder, shipped, request, result, circuit, tensors)


def _read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that carries a schema number this version knows."""
    try:
        if path.stat().st_size > _MAX_JSON:
            raise FaultError(f"{path.name} is larger than {_MAX_JSON // 2**20} MiB")
        data = parse_json(path.read_bytes())
    except FileNotFoundError as error:
        raise FaultError(f"{path.name} is missing") from error
    except OSError as error:
        raise FaultError(f"{path.name}: {error.strerror}") from error
    except ValueError as error:
        raise FaultError(f"{path.name} is no JSON (cut short?): {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("schema"), int):
        raise FaultError(f"{path.name} is no object with a schema number")
    if data["schema"] > SCHEMA:
        raise FaultError(
            f"{path.name} has schema {data['schema']}, this version reads up to {SCHEMA}: update it"
        )
    return data


def _open_tensors(path: Path) -> Tensors:
    try:
        if path.stat().st_size > _MAX_TENSORS:
            raise FaultError(f"{path.name} is larger than {_MAX_TENSORS // 2**30} GiB")
        return Tensors(path)
    except FileNotFoundError as error:
        raise FaultError(f"{path.name} is missing") from error
    except (OSError, SafetensorError) as error:
        raise FaultError(f"{path.name} is damaged or cut short: {error}") from error


def _graph(circuit: dict[str, Any], request: Request, result: CurveResult) -> Graph:
    """Return the graph of circuit.json, which has to be the one of the result and of the request."""
    try:
        graph = graph_from_json(circuit)
    except RequestError as error:
        raise FaultError(f"circuit.json: {error}") from error
    if graph is None or type(circuit["model"].get("d_model")) is not int:
        raise FaultError("circuit.json does not say the shape of its model")
    if (graph.n_edges, graph.qkv) != (result.summary.n_edges_total, request.qkv):
        raise FaultError(
            f"circuit.json is of a graph of {graph.n_edges} edges with qkv={graph.qkv}, "
            f"not of one of {result.summary.n_edges_total} edges with qkv={request.qkv}"
        )
    return graph


def _check_shapes(tensors: Tensors, result: Record, graph: Graph | None) -> None:
    """Check the arrays that pages read; `graph` is that of a run with scores."""
    expected: dict[str, tuple[int, ...]] = {}
    if graph is not None:
        if "scores" not in tensors.shapes:
            raise FaultError("tensors.safetensors has no 'scores'")
        expected["scores"] = (graph.n_edges,)
    for i, prompt in enumerate(result.prompts if isinstance(result, Result) else []):
        name, length = f"attention.{i}", len(prompt.tokens)
        if (found := tensors.shapes.get(name)) is not None:
            heads = found[:2] if graph is None else (graph.n_layers, graph.n_heads)
            expected[name] = (*heads, length, length)
    if isinstance(result, TraceResult):
        expected |= _shapes_of_trace(tensors, result)
    if isinstance(result, TrainLensesResult):
        expected |= shapes_of_training(result.lenses, result.n_texts, len(result.places))
    if isinstance(result, LensResult):
        rows = (len(result.places), len(result.tokens))
        expected |= shapes_of_reading(result.lenses, *rows, len(result.raced))
    if missing := expected.keys() - tensors.shapes.keys():
        raise FaultError(f"tensors.safetensors has no '{min(missing)}'")
    for name, shape in expected.items():
        if tensors.shapes[name] != shape:
            raise FaultError(
                f"'{name}' has shape {list(tensors.shapes[name])} where {list(shape)} is expected"
            )
        types, kind = (_INTEGERS, "whole numbers") if name.startswith(INTEGERS) else (_FLOATS, "floats")
        if tensors.types[name] not in types:
            raise FaultError(f"'{name}' is of type {tensors.types[name]} where {kind} are expected")


def _check_trace(result: TraceResult, request: Request) -> None:
    """Check that a trace is of what its request asks for."""
    if request.trace is None or (request.trace.prompt is None) != bool(result.classes):
        raise FaultError("result.json is of a prompt where its request is of a task, or the other way round")


def _check_heads(tensors: Tensors, result: TraceResult, request: Request) -> None:
    """Check that single heads, which are drawn layer by layer, fill whole layers."""
    columns = tensors.shapes["effects"][2 if result.classes else 1]
    if request.trace is not None and request.trace.state == "head" and columns % result.n_heads:
        raise FaultError(f"its effects have {columns} columns for {result.n_heads} heads")


def _shapes_of_trace(tensors: Tensors, result: TraceResult) -> dict[str, tuple[int, ...]]:
    found, n = tensors.shapes.get("effects", ()), len(result.traced)
    if len(found) != 4 or 0 in found:
        raise FaultError("tensors.safetensors has no 'effects' of four dimensions")
    if not result.classes:
        return dict.fromkeys(("effects", "restored"), (len(result.traced[0].tokens), *found[1:3], 3))
    columns = len(next(iter(result.classes.values())).share)
    shapes = dict.fromkeys(("clean", "corrupted"), (n, 3))
    if missing := shapes.keys() - tensors.shapes.keys():
        raise FaultError(f"tensors.safetensors has no '{min(missing)}'")
    return shapes | {"effects": (n, len(result.classes), columns, 3)}


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def first_problem(error: ValidationError) -> str:
    """Return the first problem of a pydantic error in one line: "summary.n_edges: Field required"."""
    problem = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}" if place else problem["msg"]
