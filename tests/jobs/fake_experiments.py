"""Stands in for engine.experiments in the tests of the queue: counts its settings' `steps`, one by one.

It notes every step in its checkpoint folder and goes on from there; `<runs>/trace` gets a line per start.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from engine.circuits.graph import Graph
from engine.errors import OutOfMemoryError, RequestError
from engine.runs.request import Request
from engine.runs.store import RunStore
from tests.app.fake_run import estimate, fake_result, fake_scores, write_fake_run

GRAPH = Graph(n_layers=1, n_heads=1)


def completed(request: Request, store: RunStore) -> Request:
    if request.model != "tiny":
        raise RequestError(f"unknown model '{request.model}'")
    return request


def parts_of(request: Request, store: RunStore) -> list[Request]:
    if request.model != "tiny":
        raise RequestError(f"unknown model '{request.model}'")
    return [
        request.model_copy(update={"kind": "discover", "method": "m", "sweep": None, "seed": seed})
        for seed in (request.sweep.seeds if request.sweep else [])
    ]


def run(
    request: Request, report: Callable[[int, int, str], None], store: RunStore, checkpoint: Path | None = None
) -> str:
    assert checkpoint is not None
    checkpoint.mkdir(parents=True, exist_ok=True)
    noted = checkpoint / "step"
    first = int(noted.read_text()) if noted.exists() else 0
    with (store.user_dir / "trace").open("a") as trace:
        trace.write(f"{request.seed} {first} {os.environ['OMP_NUM_THREADS']} {os.getpid()}\n")
    steps = request.settings["steps"]
    for step in range(first, steps):
        (checkpoint / "unfinished").write_text(str(step))
        os.replace(checkpoint / "unfinished", noted)
        if step == request.settings.get("kill_at") and (request.settings.get("always") or first == 0):
            os.kill(os.getpid(), signal.SIGKILL)
        of_it = request.settings.get("only_seed", request.seed) == request.seed
        if of_it and step == request.settings.get("fail_at"):
            raise {"request": RequestError, "memory": OutOfMemoryError, "bug": ZeroDivisionError}[
                request.settings["raises"]
            ]("one line\nand another" if request.settings["raises"] == "bug" else "one clear line")
        report(step, steps, f"step {step}")
        time.sleep(request.settings.get("pause", 0.05))
    return write(store, request)


def gather(request: Request, problems: list[str | None], store: RunStore) -> str:
    return write(store, request, problems)


def write(store: RunStore, request: Request, problems: list[str | None] | None = None) -> str:
    """Write a run of made-up numbers; of a sweep, what its parts have left."""
    fields = request.model_dump(by_alias=True, exclude={"sizes"})
    if request.sweep is None:
        return write_fake_run(store, GRAPH, (GRAPH.n_edges,), GRAPH.n_edges, **fields)
    rows = []
    for part, problem in zip(parts_of(request, store), problems or [], strict=True):
        row = {"method": part.method, "ablation": part.ablation, "task": part.task, "seed": part.seed}
        rows.append(row | {"run": part.run_id(), "error": problem})
    empty = dict.fromkeys(("conditioning", "seconds", "peak_mb", "cpr", "cmd"))
    point = {"n_edges": 1, "edges_requested": 1, "kl": estimate(1), "faithfulness": estimate(1)}
    rows = [empty | row | {"points": [] if row["error"] else [point], "path": []} for row in rows]
    made = fake_result(GRAPH, fake_scores(GRAPH), (GRAPH.n_edges,), GRAPH.n_edges)
    return store.write(request, made | {"n_edges_total": GRAPH.n_edges, "rows": rows})
