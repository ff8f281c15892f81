"""Run folders: their content, reading (without trust) and writing.

    request.json           the request (`engine.runs.request`)
    result.json            the result: summary, curve, prompts, timings, versions
    tensors.safetensors    arrays: those of each instrument are named in its result class
    circuit.json           discover, import: the circuit at the requested size

Everything is checked when a folder is opened, for which only the header of the tensors is read; arrays are
read on access. Since a folder may come from anywhere, sizes are capped and nothing is ever unpickled.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType] - its PathLike of nothing

from engine.circuits.circuit import Circuit, circuit_from_json, graph_from_json, top_edges
from engine.circuits.graph import Graph
from engine.errors import RequestError
from engine.files import is_object, parse_json
from engine.runs.kinds import first_problem, kinds, request_from_json
from engine.runs.record import CurveResult, FaultError, Record
from engine.runs.request import OfACircuit, Request

Asked = TypeVar("Asked", bound=Request)
Answer = TypeVar("Answer", bound=Record)
SCHEMA = 1
_MAX_JSON = 64 * 2**20
_MAX_TENSORS = 4 * 2**30
_FLOATS = ("F16", "F32", "F64")
_INTEGERS = ("I32",)


class Tensors(Mapping[str, np.ndarray]):
    """The arrays of a safetensors file by name, each read on access."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.types: dict[str, str] = {}
        if path is not None:
            with _opened(path) as file:
                for name in file.keys():  # noqa: SIM118 - it is no dictionary
                    array = file.get_slice(name)
                    self.shapes[name], self.types[name] = tuple(array.get_shape()), array.get_dtype()

    def __getitem__(self, name: str) -> np.ndarray:
        """Return one array; raise KeyError if there is none of that name."""
        if self._path is None or name not in self.shapes:
            raise KeyError(name)
        with _opened(self._path) as file:
            return file.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self.shapes)

    def __len__(self) -> int:
        """Return the number of arrays."""
        return len(self.shapes)


@dataclass(frozen=True)
class Run(Generic[Asked, Answer]):
    """One finished run.

    Attributes:
        run_id: its id, `[a-z0-9-]+`.
        folder: its folder.
        shipped: whether the run came with the program and is read-only.
        request: its request.
        result: its result.
        circuit: the parsed circuit.json of a run that has a graph of its own, else None; `circuit_at` returns
            the circuits of other sizes.
        tensors: its arrays by name, if this kind of run has any.
    """

    run_id: str
    folder: Path
    shipped: bool
    request: Asked
    result: Answer
    circuit: dict[str, Any] | None
    tensors: Tensors

    def circuit_at(self, edges: int | None = None) -> Circuit:
        """Return the circuit of the highest scores, without dangling edges; None takes the requested size.

        Raises:
            RequestError: `edges` is more than the graph has, or the run has no scores of its own.
        """
        if self.circuit is None or not isinstance(self.request, OfACircuit):
            origin = self.request.origin
            instead = "" if origin is None else f": export the run '{origin}'"
            raise RequestError(f"run '{self.run_id}' has no circuit of its own{instead}")
        asked = circuit_from_json(self.circuit)
        k = self.request.target_edges(asked.graph.n_edges) if edges is None else edges
        return top_edges(asked.graph, self.tensors["scores"], k, asked.about)


AnyRun = Run[Any, Any]


def read_run(folder: Path, shipped: bool) -> AnyRun:
    """Open the run in `folder` and check it.

    Raises:
        RequestError: a file is missing, truncated, of a newer schema or inconsistent with the others; the
            message names the folder and the fault in one line.
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
    _write_json(folder / "request.json", request.to_json())
    _write_json(folder / "result.json", result)
    if tensors is not None:
        arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
        tensors_file = folder / "tensors.safetensors"
        save_file(arrays, tensors_file)
        tensors_file.chmod(0o644)  # save_file lets only the owner read
    if circuit is not None:
        _write_json(folder / "circuit.json", circuit)
    folder.chmod(0o755)  # mkdtemp makes folders that only their owner can read


def open_folder(folder: Path, shipped: bool) -> AnyRun:
    """Open the run in `folder` and check it; raise FaultError, which does not name the folder."""
    raw_request = _read_json(folder / "request.json")
    raw_result = _read_json(folder / "result.json")
    try:
        request = request_from_json(raw_request)
    except ValidationError as error:
        raise FaultError(f"request.json: {first_problem(error)}") from error
    except RequestError as error:
        raise FaultError(f"request.json: {error}") from error
    kind = kinds.get(request.kind)
    try:
        result: Record = kind.Result.model_validate(raw_result)
    except ValidationError as error:
        raise FaultError(f"result.json: {first_problem(error)}") from error
    if fault := result.misfit(request):
        raise FaultError(f"result.json: {fault}")
    circuit, graph, tensors = None, None, Tensors(None)
    if kind.has_circuit:
        circuit = _read_json(folder / "circuit.json")
        graph = _graph(circuit, request, result)
    if circuit is not None or (folder / "tensors.safetensors").exists():
        tensors = _open_tensors(folder / "tensors.safetensors")
    _check_arrays(tensors, result, result.arrays(request, tensors.shapes, graph))
    return Run(folder.name, folder, shipped, request, result, circuit, tensors)


def _read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object with a schema number that this version supports."""
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
    if not is_object(data) or not isinstance(data.get("schema"), int):
        raise FaultError(f"{path.name} is no object with a schema number")
    if data["schema"] > SCHEMA:
        raise FaultError(
            f"{path.name} has schema {data['schema']}, this version reads up to {SCHEMA}: update it"
        )
    return data


def _opened(path: Path) -> AbstractContextManager[Any]:
    """Open a safetensors file; the opened object has no type hints."""
    return cast("AbstractContextManager[Any]", safe_open(path, framework="numpy"))


def _open_tensors(path: Path) -> Tensors:
    try:
        if path.stat().st_size > _MAX_TENSORS:
            raise FaultError(f"{path.name} is larger than {_MAX_TENSORS // 2**30} GiB")
        return Tensors(path)
    except FileNotFoundError as error:
        raise FaultError(f"{path.name} is missing") from error
    except (OSError, SafetensorError) as error:
        raise FaultError(f"{path.name} is damaged or cut short: {error}") from error


def _graph(circuit: dict[str, Any], request: Request, result: Record) -> Graph:
    """Return the graph of circuit.json, after checking that it fits the result and the request."""
    assert isinstance(request, OfACircuit)
    assert isinstance(result, CurveResult)
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


def _check_arrays(tensors: Tensors, result: Record, expected: Mapping[str, tuple[int, ...]]) -> None:
    """Check shapes and types of the arrays that pages read."""
    if missing := expected.keys() - tensors.shapes.keys():
        raise FaultError(f"tensors.safetensors has no '{min(missing)}'")
    for name, shape in expected.items():
        if tensors.shapes[name] != shape:
            raise FaultError(
                f"'{name}' has shape {list(tensors.shapes[name])} where {list(shape)} is expected"
            )
        is_integer = name.startswith(result.integers) if result.integers else False
        types, kind = (_INTEGERS, "whole numbers") if is_integer else (_FLOATS, "floats")
        if tensors.types[name] not in types:
            raise FaultError(f"'{name}' is of type {tensors.types[name]} where {kind} are expected")


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
