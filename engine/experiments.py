"""Carry out a request: the one entry point from a request to a finished run.

It dispatches: the request is completed; a finished run is found; what has to be there first is carried out;
then the instrument finds what was asked (`engine.instruments.base`), or gathers what its parts came to; and
the run is written.
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
        request: what is asked.
        report: report(done, total, message), called often; raises `Cancelled` to stop.
        store: where runs are looked up and written.
        checkpoint: folder for progress, from which a later call with the same request goes on.

    Raises:
        RequestError: the request cannot be carried out as written.
        Cancelled: `report` was told to stop.
        OutOfMemoryError: it did not fit; the message has the estimate and what to lower.
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
    """Return the request with everything filled in that decides its run. Nothing is loaded.

    Raises:
        RequestError: the request cannot be carried out as written.
    """
    return cast(Request, instrument_of(request).complete(request, store))


def parts_of(request: Request, store: RunStore) -> list[Request]:
    """Return the requests, completed, by way of which a completed one is carried out; of most kinds none.

    Raises:
        RequestError: one of them cannot be carried out as written.
    """
    return [completed(part, store) for part in instrument_of(request).parts(request, store)]


def lane(request: Request, store: RunStore) -> Lane:
    """Return which workers carry out a completed request: the long ones also where what has to be there first
    takes long and is not there.

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
        problems: why each of its parts cannot be carried out, None for those that are done.
        store: where the runs of the parts are.

    Raises:
        CircuitExplorerError: none of them could be.
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
    """Carry out the parts of a request one after the other, as far as they are not finished.

    Args:
        parts: completed.
        checkpoint: the request's own folder; those of the parts lie beside it.

    Returns:
        Why each part cannot be carried out, None for those that are done.
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
    """Return what a part is, in a few words."""
    facets = part.facets()
    tasks, ablations = (", ".join(facets[name]) for name in ("task", "ablation"))
    return f"{part.title_part()} of {tasks} under {ablations}, seed {part.seed}"


def _record(findings: Found, started: float, bench: Workbench) -> dict[str, Any]:
    """Return result.json: what was found, and where, when and how long."""
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
    """Return what a result says of where it was computed, from the runs of its parts."""
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
