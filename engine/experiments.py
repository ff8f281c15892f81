"""The entry point from a request to a finished run.

`run` completes the request and returns its finished run, if there is one. Otherwise it carries out a request
that must come first, if any. Then the instrument computes the findings (`engine.instruments.base`), or
gathers them from the runs of the request's parts, and the run is written.
"""

import platform
import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch

from engine.circuits.circuit import circuit_to_json
from engine.errors import Cancelled, CircuitExplorerError
from engine.instruments.base import Lane, Outcome, instrument_of
from engine.progress import Report, part_of
from engine.runs.folder import AnyRun
from engine.runs.found import Found
from engine.runs.request import Request
from engine.runs.store import RunStore
from engine.workbench.memory import memory_errors
from engine.workbench.ready import Workbench

VERSIONS = ("circuit-explorer", "torch", "transformers", "transformer_lens", "numpy", "scipy")


def run(request: Request, report: Report, store: RunStore, checkpoint: Path | None = None) -> str:
    """Carry out a request and return the id of its run, at once if it is finished already.

    Args:
        request: the request.
        report: report(done, total, message), called often; raises `Cancelled` to stop.
        store: where runs are looked up and written.
        checkpoint: folder for progress, from which a later call with the same request resumes.

    Raises:
        RequestError: the request cannot be carried out as written.
        Cancelled: `report` was told to stop.
        OutOfMemoryError: the work does not fit into memory; the message says what to lower.
    """
    request, instrument = completed(request, store), instrument_of(request)
    if request.run_id() in store:
        return request.run_id()
    store.check_writable()
    if parts := parts_of(request, store):
        return gather(request, _carry_out(parts, report, store, checkpoint), store)
    if (first := instrument.before(request, store)) is not None:
        run(first, part_of(report, 0, 95, 100, "first, once for all: "), store)
        report = part_of(report, 95, 100, 100)
    started = time.perf_counter()
    report(0, 100, f"loading {request.model}")
    with memory_errors(request.model) as memory:
        bench = Workbench(request, store, checkpoint, memory)
        findings: Found = instrument.find(request, bench, report)
    circuit = (
        None if findings.circuit is None else circuit_to_json(findings.circuit, bench.model.shape.d_model)
    )
    return store.write(request, _record(findings, started, bench), findings.tensors or None, circuit)


def completed(request: Request, store: RunStore) -> Request:
    """Return the request with all fields filled in that determine its run. No model is loaded.

    Raises:
        RequestError: the request cannot be carried out as written.
    """
    return cast(Request, instrument_of(request).complete(request, store))


def parts_of(request: Request, store: RunStore) -> list[Request]:
    """Return the completed parts of a completed request; [] for most kinds.

    Raises:
        RequestError: one of the parts cannot be carried out as written.
    """
    return [completed(part, store) for part in instrument_of(request).parts(request, store)]


def lane(request: Request, store: RunStore) -> Lane:
    """Return the lane of a completed request: that of its instrument, or "long" if a request that must come
    first is not finished and is long.

    Raises:
        RequestError: the request cannot be carried out as written.
    """
    instrument = instrument_of(request)
    if (own := instrument.lane(request, store)) == "long":
        return own
    first = instrument.before(request, store)
    return own if first is None or first.run_id() in store else lane(first, store)


def gather(request: Request, problems: Sequence[str | None], store: RunStore) -> str:
    """Write the run of a request whose parts have been tried, and return its id.

    Args:
        request: completed.
        problems: for each part, why it failed, or None if its run is finished.
        store: the store with the runs of the parts.

    Raises:
        CircuitExplorerError: all parts failed.
    """
    parts = parts_of(request, store)
    outcomes: list[Outcome] = [
        problem or store.get(part.run_id()) for part, problem in zip(parts, problems, strict=True)
    ]
    runs = [outcome for outcome in outcomes if not isinstance(outcome, str)]
    if not runs:
        raise CircuitExplorerError(f"none of the parts could be carried out; the first: {problems[0]}")
    findings: Found = instrument_of(request).gather(request, parts, outcomes, store)
    origin = _origin(runs)
    notes = sorted({*findings.notes, *origin["notes"]})
    result = {"schema": 1, "created": _now(), **findings.result, **origin, "notes": notes}
    return store.write(request, result, findings.tensors or None)


def _carry_out(
    parts: Sequence[Request], report: Report, store: RunStore, checkpoint: Path | None
) -> list[str | None]:
    """Carry out those parts of a request that are not finished, one after the other.

    Args:
        parts: completed requests.
        checkpoint: the request's own folder; the parts' folders are beside it.

    Returns:
        For each part, why it failed, or None if its run is finished.
    """
    problems: list[str | None] = []
    for done, part in enumerate(parts):
        within = part_of(report, done, done + 1, len(parts), f"{done + 1} of {len(parts)}, {_about(part)}: ")
        folder = None if checkpoint is None else checkpoint.parent / part.run_id()
        problem = None
        try:
            run(part, within, store, folder)
        except Cancelled:
            raise
        except CircuitExplorerError as error:
            problem = str(error)
        problems.append(problem)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    return problems


def _about(part: Request) -> str:
    """Return a short description of a part."""
    facets = part.facets()
    tasks, ablations = (", ".join(facets[name]) for name in ("task", "ablation"))
    return f"{part.title_part()} of {tasks} under {ablations}, seed {part.seed}"


def _record(findings: Found, started: float, bench: Workbench) -> dict[str, Any]:
    """Return the content of result.json: the findings, and the device, versions, time and duration."""
    return {
        "schema": 1,
        "created": _now(),
        **findings.result,
        "history": findings.history,
        "timings": {
            "seconds": round(time.perf_counter() - started, 3),
            "discovery_seconds": round(findings.discovered - started, 3),
            "evaluation_seconds": round(time.perf_counter() - findings.discovered, 3),
        },
        "versions": {"python": platform.python_version()} | {name: version(name) for name in VERSIONS},
        "device": str(bench.model.device),
        "dtype": str(bench.model.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "notes": list(dict.fromkeys(findings.notes)),
    }


def _origin(runs: Sequence[AnyRun]) -> dict[str, Any]:
    """Return timings, versions, device, dtype and notes of a result, from the runs of its parts."""
    first = runs[0].result
    timings = {
        name: round(sum(getattr(run.result.timings, name) for run in runs), 3)
        for name in ("seconds", "discovery_seconds", "evaluation_seconds")
    }
    notes = sorted({note for run in runs for note in run.result.notes})
    same = {name: getattr(first, name) for name in ("versions", "device", "dtype")}
    return same | {"timings": timings, "notes": notes}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
