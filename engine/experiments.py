"""Carry out a request: the one entry point from a request to a finished run.

model, task, ablation ─► what the request's kind finds (`engine.findings`) ─► run folder

Instruments that know no circuits (`INSTRUMENTS`) are given the model alone.
"""

import platform
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.circuits.circuit import Circuit, check_graph, circuit_to_json
from engine.completion import completed
from engine.composite import COMPOSITES, gathered, run_parts
from engine.findings import FINDINGS, Found, Work
from engine.lenses.lens import before_lens, lens
from engine.lenses.train_lenses import train_lenses
from engine.models import Model
from engine.progress import Report, part_of
from engine.runs.request import Kind, Request
from engine.runs.store import RunStore
from engine.tracing.trace import before_trace, trace
from engine.workbench.evaluation import SHOWN, Evaluator
from engine.workbench.memory import Estimate, memory_errors
from engine.workbench.ready import Workbench, cached_model, prepare

# (model, request, store, report) -> what was found
INSTRUMENTS: dict[Kind, Callable[[Model, Request, RunStore, Report], Found]] = {
    "trace": trace,
    "train-lenses": train_lenses,
    "lens": lens,
}
# What has to be carried out before a request, if anything; its run then stays for the next. What can be found
# wrong in the request without the model is refused there, before that takes long.
BEFORE: dict[Kind, Callable[[Request, RunStore], Request | None]] = {
    "trace": before_trace,
    "lens": before_lens,
}
VERSIONS = ("circuit-explorer", "torch", "transformers", "transformer_lens", "numpy", "scipy")


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
    if request.kind in COMPOSITES:
        return gather(request, run_parts(parts_of(request, store), run, report, store, checkpoint), store)
    if request.kind in BEFORE and (first := BEFORE[request.kind](request, store)) is not None:
        run(first, part_of(report, 0, 95, 100, "first, once for all: "), store)
        report = part_of(report, 95, 100, 100)
    started = time.perf_counter()
    report(0, 100, f"loading {request.model}")
    with memory_errors(request) as memory:
        if request.kind in INSTRUMENTS:
            model = cached_model(request.model, request.dtype, request.weights_hash or "")
            found = INSTRUMENTS[request.kind](model, request, store, report)
        else:
            model, found = _circuits(request, report, store, checkpoint, memory)
    result = {
        "schema": 1,
        "created": _now(),
        **found.result,
        "history": found.history,
        "timings": {
            "seconds": round(time.perf_counter() - started, 3),
            "discovery_seconds": round(found.discovered - started, 3),
            "evaluation_seconds": round(time.perf_counter() - found.discovered, 3),
        },
        "versions": {"python": platform.python_version()} | {name: version(name) for name in VERSIONS},
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "notes": list(dict.fromkeys(found.notes)),
    }
    circuit = None if found.circuit is None else circuit_to_json(found.circuit, model.shape.d_model)
    return store.write(request, result, found.tensors or None, circuit)


def _circuits(
    request: Request, report: Report, store: RunStore, checkpoint: Path | None, memory: Estimate
) -> tuple[Model, Found]:
    """Return what a request about circuits or nodes finds, with the prompts that are shown."""
    bench = prepare(request)
    memory.needed = bench.bytes_needed
    # Before the long part, so that a fault in the prompts evaluated on is found at once.
    evaluator = bench.evaluator(request)
    found = FINDINGS[request.kind](Work(request, bench, evaluator, store, checkpoint), report)
    prompts, attention = _shown(bench, evaluator)
    tensors = dict(found.tensors)
    if request.kind == "discover" or request.pairs:
        tensors |= {f"attention.{i}": pattern for i, pattern in enumerate(attention)}
    result = found.result | {"prompts": prompts, "conditioning": bench.conditioning}
    notes = [*bench.training.notes, *evaluator.prompts.notes, *found.notes]
    return bench.model, replace(found, result=result, tensors=tensors, notes=notes)


def parts_of(request: Request, store: RunStore) -> list[Request]:
    """Return the requests, completed, by way of which a completed one is carried out; of most kinds none.

    Raises:
        RequestError: one of them cannot be carried out as written.
    """
    if request.kind not in COMPOSITES:
        return []
    return [completed(part, store) for part in COMPOSITES[request.kind].parts(request, store)]


def gather(request: Request, problems: list[str | None], store: RunStore) -> str:
    """Write the run of a request whose parts have been tried, and return its id.

    Args:
        problems: why each of its parts cannot be carried out, None for those that are done.

    Raises:
        CircuitExplorerError: none of them could be.
    """
    found, tensors = gathered(request, parts_of(request, store), problems, store)
    return store.write(request, {"schema": 1, "created": _now(), **found}, tensors or None)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


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
        check_graph(circuit, graph, request.model)
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
