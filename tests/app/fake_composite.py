"""Sweeps and repeated discoveries with made-up numbers, and the runs they are made of."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from engine.circuits.circuit import top_edges
from engine.circuits.graph import Graph
from engine.instruments.stability.request import Stability
from engine.instruments.stability.result import Repeat
from engine.instruments.sweep.result import SweepPoint, SweepRow, SweepStep
from engine.runs.kinds import make_request
from engine.runs.store import RunStore
from tests.app.fake_run import SIZE, estimate, fake_scores, write_fake_run
from tests.made_up import made_up, write

GRAPH = Graph(4, 8)
SIZES = (15, 76, 303, 1519)
CONDITIONING = {"mean": "per position", "zero": "none", "optimal": "shared", "counterfactual": "none"}
PATHS = ("ugs", "acdc")  # methods that choose circuits themselves
NOTES = ["a note on all of them"]


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
    plan = {"methods": [*methods], "ablations": [*ablations], "tasks": [*tasks], "seeds": [*seeds]}
    request = make_request("sweep", model=model, task=tasks[0], ablation=ablations[0], sweep=plan)
    rows = []
    places = product(tasks, enumerate(ablations), enumerate(methods), seeds)
    for task, (i, ablation), (j, method), seed in places:
        part = {"task": task, "ablation": ablation, "method": method, "seed": seed}
        bad = (method, seed) in failed
        run_id = _part(store, part | {"model": model}, runs and not bad)
        rows.append(_row(1 + i + 3 * j + 0.1 * seed, bad, **part, run=run_id))
    return write(store, request, n_edges_total=GRAPH.n_edges, rows=rows, notes=NOTES)


def write_fake_stability(
    store: RunStore, origin: str, request: Stability | None = None, **changes: Any
) -> str:
    """Write how a run's discovery came out with other seeds and held-out templates; return its id.

    Args:
        origin: the run that was repeated.
        request: what was asked; by default seeds 1, 2 and 3, and two parts of the templates.
        changes: fields of its result that are to be others.
    """
    asked = store.get(origin).request
    if request is None:
        about = {"model": asked.model, "task": asked.task, "ablation": asked.ablation, "edges": asked.edges}
        plan = {"seeds": [1, 2, 3], "folds": 2}
        request = make_request("stability", circuit=origin, stability=plan, **about)
        assert isinstance(request, Stability)
    parts = [["every name", "every place"], ["every <b>thing</b>"]][: request.stability.folds]
    repeats = [_repeat(seed, [], f"seed-{seed}", 0.02 + 0.01 * seed) for seed in request.stability.seeds]
    repeats += [_repeat(asked.seed, part, f"without-{i}", 0.06 + 0.02 * i) for i, part in enumerate(parts)]
    folds = [_repeat(asked.seed, part, f"itself-{i}", 0.03) for i, part in enumerate(parts)]
    names = [origin, *(repeat["run"] for repeat in repeats if repeat["error"] is None)]
    n = len(names)
    jaccard = [[1.0 if i == j else round(0.7 - 0.05 * abs(i - j), 3) for i in range(n)] for j in range(n)]
    scores = [fake_scores(GRAPH) + 0.4 * fake_scores(GRAPH, 10 + i) for i in range(n)]
    kept = np.array([top_edges(GRAPH, of_run, asked.edges or SIZE).kept for of_run in scores])
    result = {"repeats": repeats, "folds": folds, "circuits": names, "jaccard": jaccard}
    result |= {"expected": 0.05, "core": int(kept.all(0).sum()), "notes": NOTES}
    return write(store, request, {"frequency": kept.mean(0, dtype=np.float32)}, **result | changes)


def _part(store: RunStore, request: dict[str, Any], written: bool) -> str:
    if written:
        return write_fake_run(store, **request)
    return make_request("discover", **request, edges=SIZE).run_id()


def _row(scale: float, bad: bool, **about: Any) -> dict[str, Any]:
    method = about["method"]
    if bad:
        return made_up(SweepRow, **about, error=f"{method} found <b>nothing</b>")
    points = [
        _brief(SweepPoint, size - size // 10, scale * 0.5 / (1 + size / 50), edges_requested=size)
        for size in SIZES
    ]
    steps = [
        _brief(SweepStep, 40, scale * 0.3, penalty=0.01),
        _brief(SweepStep, 200, scale * 0.1, penalty=0.001),
    ]
    found = {"points": points, "path": steps if method in PATHS else []}
    found |= {"conditioning": CONDITIONING[about["ablation"]]}
    return made_up(SweepRow, **about, **found, seconds=12.5, peak_mb=40.0, cpr=0.9, cmd=0.05 * scale)


def _brief(of: type[SweepPoint | SweepStep], edges: int, kl: float, **given: Any) -> dict[str, Any]:
    numbers = {"n_edges": edges, "kl": estimate(kl, kl / 10), "faithfulness": estimate(1 - min(kl, 1))}
    return made_up(of, **numbers, **given)


def _repeat(seed: int, held_out: list[str], run: str, kl: float) -> dict[str, Any]:
    numbers = {"n_edges": 140 + seed, "kl": estimate(kl, 0.01), "faithfulness": estimate(1 - kl)}
    return made_up(Repeat, seed=seed, held_out=held_out, run=run, **numbers)
