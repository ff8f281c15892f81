"""Carry out a request: the one entry point from a request to a finished run.

model, task, ablation ─► method ─► scores ─► circuits of every size ─► evaluation ─► run folder
"""

import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel

from engine.ablations.base import ablations
from engine.circuit import Circuit, circuit_to_json, top_edges
from engine.discovery.base import Problem, Report, methods
from engine.errors import RequestError
from engine.evaluation import SHOWN, Evaluator, curve
from engine.graph import Graph
from engine.memory import memory_errors
from engine.models import find_model, shape_of_folder, weights_hash
from engine.request import Request
from engine.runs import Run, RunStore
from engine.settings import parse_settings
from engine.tasks.dataset import check_task
from engine.tasks.user_file import file_hash, is_task_file
from engine.workbench import Workbench, prepare

VERSIONS = ("circuit-explorer", "torch", "transformers", "transformer_lens", "numpy", "scipy")


def completed(request: Request, store: RunStore) -> Request:
    """Return the request with everything filled in that decides its run: hashes, sizes, plain settings.

    Nothing is loaded, so a wrong request is refused at once.

    Raises:
        RequestError: unknown model, task, method, ablation or run; settings out of range; too many edges.
    """
    if request.kind == "evaluate":
        origin = _with_scores(store, request.circuit or "").request
        same = ("model", "weights_hash", "task", "task_hash", "qkv", "bos", "dtype", "edges", "seed")
        request = request.model_copy(
            update={name: getattr(origin, name) for name in same} | {"sparsity": None}
        )
    shape = shape_of_folder(find_model(request.model))
    n_edges = shape.graph(request.qkv).n_edges
    edges = request.target_edges(n_edges)
    if edges > n_edges:
        raise RequestError(f"{edges} edges were asked for, but the graph of '{request.model}' has {n_edges}")
    check_task(request.task)
    ablation = parse_settings(ablations.get(request.ablation).Settings, request.ablation_settings)
    update: dict[str, Any] = {
        "weights_hash": weights_hash(find_model(request.model)),
        "task_hash": file_hash(Path(request.task)) if is_task_file(request.task) else None,
        "ablation_settings": ablation.model_dump(mode="json"),
        "edges": edges,
        "sparsity": None,
    }
    if request.method is not None:
        settings = parse_settings(methods.get(request.method).Settings, request.settings)
        update["settings"] = settings.model_dump(mode="json")
        if (start := update["settings"].get("warm_start")) is not None:
            _with_scores(store, start)
    if request.kind == "evaluate":
        for name, what in (
            ("weights_hash", f"model '{request.model}'"),
            ("task_hash", f"task '{request.task}'"),
        ):
            if update[name] != getattr(request, name):
                raise RequestError(
                    f"{what} has changed since run '{request.circuit}' was made: discover again"
                )
    return request.model_copy(update=update)


def run(request: Request, report: Report, store: RunStore, checkpoint: Path | None = None) -> str:
    """Carry out a request and return the id of its run, at once if it is finished already.

    Args:
        report: report(done, total, message), called often; raises `Cancelled` to stop.
        store: where runs are looked up and written.
        checkpoint: folder for progress, from which a later call with the same request goes on.

    Raises:
        RequestError: the request cannot be carried out as written.
        Cancelled: `report` was told to stop.
        OutOfMemoryError: it did not fit; the message has the estimate and what to lower.
    """
    request = completed(request, store)
    if request.run_id() in store:
        return request.run_id()
    store.check_writable()
    started = time.perf_counter()
    report(0, 100, f"loading {request.model}")
    with memory_errors(request) as memory:
        bench = prepare(request)
        memory.needed = bench.bytes_needed
        about = {
            "model": request.model,
            "task": request.task,
            "method": request.method,
            "ablation": request.ablation,
        }
        assert request.edges is not None
        # Before the long part, so that a fault in the prompts evaluated on is found at once.
        evaluator = bench.evaluator(request)
        if request.kind == "evaluate":
            origin = _with_scores(store, request.circuit or "")
            scores, found = origin.tensors["scores"], {}
            about["method"] = origin.request.method
        else:
            scores, found = _discover(request, bench, store, _part(report, 2, 88), checkpoint)
        discovered = time.perf_counter()
        measured = curve(evaluator, bench.forward.graph, scores, request.edges, _part(report, 88, 99), about)
        prompts, attention = _shown(bench, evaluator)
    result = {
        "schema": 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **measured,
        "history": found.get("history", {}),
        "prompts": prompts,
        "timings": {
            "seconds": round(time.perf_counter() - started, 3),
            "discovery_seconds": round(discovered - started, 3),
            "evaluation_seconds": round(time.perf_counter() - discovered, 3),
        },
        "versions": {"python": platform.python_version()} | {name: version(name) for name in VERSIONS},
        "device": str(bench.model.device),
        "dtype": str(bench.model.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "conditioning": bench.conditioning,
        "notes": list(
            dict.fromkeys([*bench.training.notes, *evaluator.prompts.notes, *found.get("notes", [])])
        ),
    }
    if request.kind == "evaluate":
        return store.write(request, result)
    circuit = top_edges(bench.forward.graph, scores, request.edges, about)
    tensors = {"scores": scores} | {f"attention.{i}": pattern for i, pattern in enumerate(attention)}
    return store.write(request, result, tensors, circuit_to_json(circuit, bench.model.shape.d_model))


def _discover(
    request: Request, bench: Workbench, store: RunStore, report: Report, checkpoint: Path | None
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return scores [n_edges] and what else the method has to say."""
    assert request.method is not None
    assert request.edges is not None
    method = methods.get(request.method)
    settings = parse_settings(method.Settings, request.settings)
    problem = Problem(
        forward=bench.forward,
        prepare=lambda size: bench.batches(bench.training, bench.training.batches(size, request.seed)),
        target_edges=request.edges,
        warm_start=_warm_start(settings, store, bench.forward.graph.n_edges),
        checkpoint=checkpoint,
    )
    found = method.discover(problem, settings, request.seed, report)
    return found.scores.numpy(), {"history": found.history, "notes": found.notes}


def _with_scores(store: RunStore, run_id: str) -> Run:
    """Return a run that has scores of its own.

    Raises:
        RequestError: no such run, or an evaluation.
    """
    found = store.get(run_id)
    if found.request.kind == "evaluate":
        raise RequestError(
            f"run '{run_id}' is an evaluation; take the run it evaluates: '{found.request.circuit}'"
        )
    return found


def _warm_start(settings: BaseModel, store: RunStore, n_edges: int) -> torch.Tensor | None:
    name = getattr(settings, "warm_start", None)
    if name is None:
        return None
    scores = _with_scores(store, name).tensors["scores"]
    if len(scores) != n_edges:
        raise RequestError(
            f"run '{name}' has {len(scores)} edges, this graph {n_edges}: no warm start from it"
        )
    return torch.from_numpy(scores)


def _shown(bench: Workbench, evaluator: Evaluator) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """Return the first prompts with the model's predictions, and its attention patterns [L, H, S, S]."""
    prompts, patterns, names = [], [], bench.model.token_strings
    tops = evaluator.top(evaluator.model_logits)
    for item, top in zip(evaluator.prompts.items[:SHOWN], tops, strict=True):
        tokens = torch.tensor([item.clean_ids], device=bench.model.device)
        run = bench.model.transformer.run(tokens, patterns=True)
        patterns.append(torch.stack(run.patterns)[:, :, 0].half().cpu().numpy())
        prompts.append(
            {
                "clean": item.clean,
                "corrupt": item.corrupt,
                "tokens": names(item.clean_ids),
                "corrupt_tokens": names(item.corrupt_ids),
                "answers": names(item.answers),
                "wrong_answers": names(item.wrong_answers),
                "model_top": top,
            }
        )
    return prompts, patterns


def _part(report: Report, first: int, last: int) -> Report:
    """Return a report that fills the part from `first` to `last` per cent of another."""

    def part(done: int, total: int, message: str) -> None:
        report(first + (last - first) * done // max(total, 1), 100, message)

    return part


def evaluate_circuit(circuit: Circuit, request: Request, report: Report) -> dict[str, Any]:
    """Return the metrics of one circuit, as `circuit-explorer evaluate` prints them.

    Args:
        circuit: any circuit, for instance of a file.
        request: its model, task, ablation, split, number of prompts and seed are used.

    Raises:
        RequestError: the circuit's graph is not the model's.
    """
    report(0, 3, f"loading {request.model}")
    with memory_errors(request) as memory:
        bench = prepare(request)
        memory.needed = bench.bytes_needed
        graph = bench.forward.graph
        if graph != circuit.graph:
            raise RequestError(
                f"the circuit does not fit '{request.model}': it is of {_describe(circuit.graph)}, "
                f"the model has {_describe(graph)}"
            )
        report(1, 3, "preparing prompts")
        evaluator = bench.evaluator(request)
        report(2, 3, "evaluating")
        measured = evaluator.measure(circuit)[0]
    report(3, 3, "evaluated")
    return measured | {
        "split": request.split,
        "ablation": request.ablation,
        "conditioning": bench.conditioning,
    }


def _describe(graph: Graph) -> str:
    return f"{graph.n_layers} layers, {graph.n_heads} heads, qkv={graph.qkv}, parallel={graph.parallel}"
