"""What one run folder holds, and how it is read (with suspicion) and written.

    request.json           what was asked (engine.request.Request)
    result.json            what came out: summary, curve, prompts, timings, versions
    tensors.safetensors    discover, import: "scores" [n_edges]; discover, own prompts: "attention.<i>"
                           [n_layers, n_heads, S, S]; importance: "kl", "answer", "wrong_answer"
                           [n_nodes, n_prompts]
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
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from engine.circuit import Circuit, circuit_from_json, top_edges
from engine.errors import RequestError
from engine.request import Request

SCHEMA = 1
_MAX_JSON = 64 * 2**20
_MAX_TENSORS = 4 * 2**30


class Tensors(Mapping[str, np.ndarray]):
    """The arrays of a safetensors file by name, each read when it is asked for."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.shapes: dict[str, tuple[int, ...]] = {}
        if path is not None:
            with safe_open(path, framework="numpy") as file:
                names = file.keys()
                self.shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}

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


class _Estimate(BaseModel):
    mean: float | None
    ci95: tuple[float | None, float | None]
    n: int


class _Metrics(BaseModel):
    """What is said of one circuit: counts, and an estimate for every metric."""

    n_edges: int
    n_edges_total: int
    sparsity: float
    kl: _Estimate


class _Prompt(BaseModel):
    clean: str
    tokens: list[str]


class _Result(BaseModel):
    """The fields of result.json that every reader relies on."""

    created: str
    summary: _Metrics
    model: dict[str, Any]
    ablated: dict[str, Any]
    curve: list[_Metrics]
    metric: str
    prompts: list[_Prompt]


class _Importance(BaseModel):
    """The fields of an importance run's result.json that every reader relies on."""

    created: str
    nodes: dict[str, dict[str, _Estimate]]
    model: dict[str, Any]
    ablated: dict[str, Any]
    metric: str
    prompts: list[_Prompt]


def read_run(folder: Path, shipped: bool) -> Run:
    """Open the run in `folder` and check it.

    Raises:
        RequestError: a file is missing, cut short, of a newer schema or does not fit the others; one line
            that names the folder and the fault.
    """
    try:
        return _read_run(folder, shipped)
    except _FaultError as fault:
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


class _FaultError(Exception):
    """What is wrong with a run folder."""


def _read_run(folder: Path, shipped: bool) -> Run:
    raw_request = _read_json(folder / "request.json")
    result = _read_json(folder / "result.json")
    try:
        request = Request.model_validate(raw_request)
    except ValidationError as error:
        raise _FaultError(f"request.json: {first_problem(error)}") from error
    try:
        form = (_Importance if request.kind == "importance" else _Result).model_validate(result)
    except ValidationError as error:
        raise _FaultError(f"result.json: {first_problem(error)}") from error
    circuit, tensors = None, Tensors(None)
    if request.kind in ("discover", "import"):
        circuit = _read_json(folder / "circuit.json")
    if circuit is not None or (folder / "tensors.safetensors").exists():
        tensors = _open_tensors(folder / "tensors.safetensors")
    if circuit is not None and isinstance(form, _Result):
        _check_shapes(tensors, form)
    return Run(folder.name, folder, shipped, request, result, circuit, tensors)


def _read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that carries a schema number this version knows."""
    try:
        if path.stat().st_size > _MAX_JSON:
            raise _FaultError(f"{path.name} is larger than {_MAX_JSON // 2**20} MiB")
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _FaultError(f"{path.name} is missing") from error
    except OSError as error:
        raise _FaultError(f"{path.name}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _FaultError(f"{path.name} is no JSON (cut short?): {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("schema"), int):
        raise _FaultError(f"{path.name} is no object with a schema number")
    if data["schema"] > SCHEMA:
        raise _FaultError(
            f"{path.name} has schema {data['schema']}, this version reads up to {SCHEMA}: update it"
        )
    return data


def _open_tensors(path: Path) -> Tensors:
    try:
        if path.stat().st_size > _MAX_TENSORS:
            raise _FaultError(f"{path.name} is larger than {_MAX_TENSORS // 2**30} GiB")
        return Tensors(path)
    except FileNotFoundError as error:
        raise _FaultError(f"{path.name} is missing") from error
    except (OSError, SafetensorError) as error:
        raise _FaultError(f"{path.name} is damaged or cut short: {error}") from error


def _check_shapes(tensors: Tensors, result: _Result) -> None:
    if "scores" not in tensors.shapes:
        raise _FaultError("tensors.safetensors has no 'scores'")
    expected: dict[str, tuple[int, ...]] = {"scores": (result.summary.n_edges_total,)}
    for i, prompt in enumerate(result.prompts):
        name, length = f"attention.{i}", len(prompt.tokens)
        if name in tensors.shapes:
            expected[name] = (*tensors.shapes[name][:2], length, length)
    for name, shape in expected.items():
        if tensors.shapes[name] != shape:
            raise _FaultError(
                f"'{name}' has shape {list(tensors.shapes[name])} where {list(shape)} is expected"
            )


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def first_problem(error: ValidationError) -> str:
    """Return the first problem of a pydantic error in one line: "summary.n_edges: Field required"."""
    problem = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}" if place else problem["msg"]
