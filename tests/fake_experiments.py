"""Stands in for engine.experiments in the tests of the queue: counts its settings' `steps`, one by one.

It notes every step in its checkpoint folder and goes on from there; `<runs>/trace` gets a line per start.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from engine.errors import OutOfMemoryError, RequestError
from engine.graph import Graph
from engine.request import Request
from engine.runs import RunStore

GRAPH = Graph(n_layers=1, n_heads=1)


def completed(request: Request, store: RunStore) -> Request:
    if request.model != "tiny":
        raise RequestError(f"unknown model '{request.model}'")
    return request


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
        if step == request.settings.get("fail_at"):
            raise {"request": RequestError, "memory": OutOfMemoryError, "bug": ZeroDivisionError}[
                request.settings["raises"]
            ]("one line\nand another" if request.settings["raises"] == "bug" else "one clear line")
        report(step, steps, f"step {step}")
        time.sleep(request.settings.get("pause", 0.05))
    return store.write(request, result(), {"scores": np.zeros(GRAPH.n_edges, np.float32)}, {"schema": 1})


def result() -> dict:
    estimate = {"mean": 0.1, "ci95": [0.0, 0.2], "n": 5}
    metrics = {"n_edges": 1, "n_edges_total": GRAPH.n_edges, "sparsity": 0.9, "kl": estimate}
    return {
        "schema": 1,
        "created": "2026-01-01T00:00:00+00:00",
        "summary": metrics,
        "model": {"kl": estimate},
        "ablated": {"kl": estimate},
        "curve": [metrics],
        "metric": "logit_difference",
        "prompts": [],
    }
