"""Stands in for engine.experiments in the tests of the queue: counts `steps`, one by one.

What a request is to do stands where the settings of its ablation do. Every step is noted in the checkpoint
folder, from which it goes on; `<runs>/trace` gets a line per start.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.circuits.graph import Graph
from engine.errors import OutOfMemoryError, RequestError
from engine.instruments.base import Lane
from engine.instruments.discover.request import Discover
from engine.instruments.evaluate.request import Evaluate
from engine.instruments.sweep.request import Sweep
from engine.instruments.sweep.result import SweepPoint, SweepRow
from engine.runs.kinds import make_request
from engine.runs.request import OfACircuit, Request
from engine.runs.store import RunStore
from tests.app.fake_run import write_fake_circuits
from tests.made_up import made_up
from tests.made_up import write as write_made_up

GRAPH = Graph(n_layers=1, n_heads=1)
KNOWN = ("tiny", "explorer-4l")


def completed(request: Request, store: RunStore) -> Request:
    if request.model not in KNOWN:
        raise RequestError(f"unknown model '{request.model}'")
    return request


def parts_of(request: Request, store: RunStore) -> list[Discover]:
    completed(request, store)
    if not isinstance(request, Sweep):
        return []
    common = {"model": request.model, "task": request.task, "ablation": request.ablation}
    common |= {"ablation_settings": request.ablation_settings, "method": "m"}
    return [make_request("discover", **common, seed=seed) for seed in request.sweep.seeds]


def lane(request: Request, store: RunStore) -> Lane:
    return "short" if isinstance(request, Evaluate) else "long"


def run(
    request: OfACircuit,
    report: Callable[[int, int, str], None],
    store: RunStore,
    checkpoint: Path | None = None,
) -> str:
    assert checkpoint is not None
    checkpoint.mkdir(parents=True, exist_ok=True)
    noted = checkpoint / "step"
    first = int(noted.read_text()) if noted.exists() else 0
    with (store.user_dir / "trace").open("a") as trace:
        trace.write(f"{request.seed} {first} {os.environ['OMP_NUM_THREADS']} {os.getpid()}\n")
    settings = request.ablation_settings
    steps = settings.get("steps", 3)
    for step in range(first, steps):
        (checkpoint / "unfinished").write_text(str(step))
        os.replace(checkpoint / "unfinished", noted)
        if step == settings.get("kill_at") and (settings.get("always") or first == 0):
            os.kill(os.getpid(), signal.SIGKILL)
        of_it = settings.get("only_seed", request.seed) == request.seed
        if of_it and step == settings.get("fail_at"):
            raise {"request": RequestError, "memory": OutOfMemoryError, "bug": ZeroDivisionError}[
                settings["raises"]
            ]("one line\nand another" if settings["raises"] == "bug" else "one clear line")
        report(step, steps, f"step {step}")
        time.sleep(settings.get("pause", 0.05))
    return write(store, request)


def gather(request: Sweep, problems: Sequence[str | None], store: RunStore) -> str:
    """Write a run of what the parts of a sweep have left."""
    point = made_up(SweepPoint)
    rows = [
        made_up(
            SweepRow,
            method=part.method,
            ablation=part.ablation,
            task=part.task,
            seed=part.seed,
            run=part.run_id(),
            error=problem,
            points=[] if problem else [point],
        )
        for part, problem in zip(parts_of(request, store), problems, strict=True)
    ]
    return write_made_up(store, request, n_edges_total=GRAPH.n_edges, rows=rows)


def write(store: RunStore, request: OfACircuit) -> str:
    """Write a run of made-up numbers."""
    return write_fake_circuits(store, request, GRAPH, (GRAPH.n_edges,), GRAPH.n_edges)
