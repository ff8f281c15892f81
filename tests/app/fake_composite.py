"""Sweeps and repeated discoveries with made-up numbers, and the runs they are made of."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.circuits.circuit import top_edges
from engine.circuits.graph import Graph
from engine.runs.request import Request, Stability, Sweep
from engine.runs.store import RunStore
from tests.app.fake_run import estimate, fake_scores, write_fake_run

GRAPH = Graph(4, 8)
SIZES = (15, 76, 303, 1519)
CONDITIONING = {"mean": "per position", "zero": "none", "optimal": "shared", "counterfactual": "none"}
PATHS = ("ugs", "acdc")  # methods that choose circuits themselves


def write_fake_sweep(
    store: RunStore,
    methods: Sequence[str] = ("eap", "ugs", "random"),
    ablations: Sequence[str] = ("counterfactual", "mean"),
    tasks: Sequence[str] = ("ioi",),
    seeds: Sequence[int] = (0, 1),
    failed: Sequence[tuple[str, int]] = (),
    runs: bool = True,
    model: str = "explorer-4l",
) -> str:
    """Write a sweep and return its id.

    Args:
        failed: methods and seeds whose discoveries failed.
        runs: write the runs it is made of too.
    """
    plan = Sweep(methods=list(methods), ablations=list(ablations), tasks=list(tasks), seeds=list(seeds))
    request = Request(kind="sweep", model=model, task=tasks[0], ablation=ablations[0], sweep=plan)
    rows = []
    for task in tasks:
        for i, ablation in enumerate(ablations):
            for j, method in enumerate(methods):
                for seed in seeds:
                    part = {"task": task, "ablation": ablation, "method": method, "seed": seed}
                    bad = (method, seed) in failed
                    run = _part(store, part | {"model": model}, runs and not bad)
                    rows.append(part | {"run": run} | _row(method, 1 + i + 3 * j + 0.1 * seed, bad, ablation))
    return store.write(request, _record() | {"n_edges_total": GRAPH.n_edges, "rows": rows})


def write_fake_stability(store: RunStore, origin: str, request: Request | None = None, **changes: Any) -> str:
    """Write how a run's discovery came out with other seeds and held-out templates; return its id.

    Args:
        origin: the run that was repeated.
        request: what was asked; by default seeds 1, 2 and 3, and two parts of the templates.
        changes: fields of its result that are to be others.
    """
    asked = store.get(origin).request
    plan = Stability(seeds=[1, 2, 3], folds=2)
    fields = {"model": asked.model, "task": asked.task, "ablation": asked.ablation, "edges": asked.edges}
    request = request or Request(kind="stability", circuit=origin, stability=plan, **fields)
    assert request.stability is not None
    parts = [["every name", "every place"], ["every <b>thing</b>"]][: request.stability.folds]
    repeats = [_repeat(seed, [], f"seed-{seed}", 0.02 + 0.01 * seed) for seed in request.stability.seeds]
    repeats += [_repeat(asked.seed, part, f"without-{i}", 0.06 + 0.02 * i) for i, part in enumerate(parts)]
    folds = [_repeat(asked.seed, part, f"itself-{i}", 0.03) for i, part in enumerate(parts)]
    names = [origin, *(repeat["run"] for repeat in repeats if repeat["error"] is None)]
    n = len(names)
    jaccard = [[1.0 if i == j else round(0.7 - 0.05 * abs(i - j), 3) for i in range(n)] for j in range(n)]
    scores = [fake_scores(GRAPH) + 0.4 * fake_scores(GRAPH, 10 + i) for i in range(n)]
    kept = np.array([top_edges(GRAPH, one, asked.edges or 150).kept for one in scores])
    result = _record() | {"repeats": repeats, "folds": folds, "circuits": names, "jaccard": jaccard}
    result |= {"expected": 0.05, "core": int(kept.all(0).sum())}
    return store.write(request, result | changes, {"frequency": kept.mean(0, dtype=np.float32)})


def _part(store: RunStore, request: dict[str, Any], write: bool) -> str:
    if write:
        return write_fake_run(store, **request)
    return Request.model_validate(request | {"edges": 150}).run_id()


def _row(method: str, scale: float, bad: bool, ablation: str) -> dict[str, Any]:
    if bad:
        empty = {"conditioning": None, "seconds": None, "peak_mb": None, "cpr": None, "cmd": None}
        return empty | {"error": f"{method} found <b>nothing</b>", "points": [], "path": []}
    points = [
        _brief(size - size // 10, scale * 0.5 / (1 + size / 50)) | {"edges_requested": size} for size in SIZES
    ]
    steps = [_brief(40, scale * 0.3) | {"penalty": 0.01}, _brief(200, scale * 0.1) | {"penalty": 0.001}]
    cost = {"seconds": 12.5, "peak_mb": 40.0, "cpr": 0.9, "cmd": 0.05 * scale}
    return cost | {
        "error": None,
        "conditioning": CONDITIONING[ablation],
        "points": points,
        "path": steps if method in PATHS else [],
    }


def _brief(edges: int, kl: float) -> dict[str, Any]:
    return {"n_edges": edges, "kl": estimate(kl, kl / 10), "faithfulness": estimate(1 - min(kl, 1))}


def _repeat(seed: int, held_out: list[str], run: str, kl: float) -> dict[str, Any]:
    about = {"seed": seed, "held_out": held_out, "run": run, "error": None}
    return about | {"n_edges": 140 + seed, "kl": estimate(kl, 0.01), "faithfulness": estimate(1 - kl)}


def _record() -> dict[str, Any]:
    return {
        "schema": 1,
        "created": "2026-01-02T00:00:00+00:00",
        "timings": {"seconds": 75.0, "discovery_seconds": 60.0, "evaluation_seconds": 15.0},
        "versions": {"python": "3.11", "torch": "2.13"},
        "device": "cpu",
        "dtype": "float32",
        "notes": ["a note on all of them"],
    }
