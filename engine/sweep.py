"""Methods side by side: every method under every ablation on every task with every seed.

Each circuit is measured by the same evaluator at the same sizes, by default those of the Mechanistic
Interpretability Benchmark (MIB, Mueller et al. 2025, 2504.13151), and each ranking of edges by MIB's two
areas over the share p of edges kept, f being faithfulness,

    CPR = ∫ f(p) dp        CMD = ∫ |1 - f(p)| dp ,

by the trapezoid rule over the shares that were measured (MIB's run from .001 to 1; it takes no point at 0).
"""

from itertools import product
from typing import Any

import numpy as np

from engine.discovery.base import methods
from engine.runs.request import Request, Sweep
from engine.runs.store import Run, RunStore

SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # MIB's
RANDOM, RANDOM_DRAWS = "random", 3
POINT = ("edges_requested", "n_edges", "kl", "faithfulness")


def sizes(n_edges: int) -> list[int]:
    """Return MIB's numbers of edges in a graph of `n_edges`."""
    return sorted({max(1, int(share * n_edges)) for share in SHARES})


def parts(request: Request, store: RunStore) -> list[Request]:
    """Return a discovery for every combination; before them, under an ablation whose constants are trained,
    the importance of every node, whose constants all methods take that train none themselves."""
    plan = _plan(request)
    common = {"model": request.model, "qkv": request.qkv, "split": request.split, "bos": request.bos}
    common |= {"n_prompts": request.n_prompts, "dtype": request.dtype}
    # Those first that need nothing of the importance runs, which other workers compute meanwhile.
    order = sorted(plan.methods, key=lambda name: not methods.get(name).trains_constants)
    first = []
    if not all(methods.get(name).trains_constants for name in order):
        first = [
            Request(kind="importance", task=task, ablation="optimal", seed=seed, **common)
            for task, seed in product(plan.tasks, plan.seeds)
            if "optimal" in plan.ablations
        ]
    return first + [
        Request(
            task=task,
            ablation=ablation,
            method=method,
            settings=plan.settings.get(method, {}),
            seed=seed,
            edges=request.edges,
            sizes=request.sizes,
            **common,
        )
        for method, ablation, task in product(order, plan.ablations, plan.tasks)
        for seed in _seeds(plan, method)
    ]


def gather(
    request: Request, parts: list[Request], outcomes: list[Run | str], store: RunStore
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return {"rows": one for every discovery, "n_edges_total": edges of the graph}, and no tensors."""
    plan, rows, total = _plan(request), [], 1
    for part, outcome in zip(parts, outcomes, strict=True):
        if part.kind == "discover":
            rows.append(_row(part, outcome))
            if isinstance(outcome, Run):
                total = outcome.result["summary"]["n_edges_total"]

    def place(row: dict[str, Any]) -> tuple[int, ...]:
        names = (plan.tasks.index(row["task"]), plan.ablations.index(row["ablation"]))
        return (*names, plan.methods.index(row["method"]), row["seed"])

    rows.sort(key=place)
    return {"n_edges_total": total, "rows": rows}, {}


def areas(points: list[dict[str, Any]]) -> dict[str, float | None]:
    """Return MIB's "cpr" and "cmd" of a curve; None where faithfulness is undefined at a point of it."""
    shares = np.array([point["edges_requested"] / point["n_edges_total"] for point in points])
    values = [point["faithfulness"]["mean"] for point in points]
    if len(points) < 2 or None in values:
        return {"cpr": None, "cmd": None}
    faithfulness = np.array(values, dtype=float)
    return {
        "cpr": float(np.trapezoid(faithfulness, shares)),
        "cmd": float(np.trapezoid(np.abs(1 - faithfulness), shares)),
    }


def _row(part: Request, outcome: Run | str) -> dict[str, Any]:
    row: dict[str, Any] = {"method": part.method, "ablation": part.ablation, "task": part.task}
    row |= {"seed": part.seed, "run": part.run_id()}
    if isinstance(outcome, str):
        empty = {"points": [], "path": [], "cpr": None, "cmd": None, "seconds": None, "peak_mb": None}
        return row | empty | {"error": outcome, "conditioning": None}
    result = outcome.result
    cost = result.get("cost") or {"seconds": None, "peak_mb": None}
    # The size that the request asks for belongs to the curve, but not to MIB's grid.
    gridded = [point for point in result["curve"] if point["edges_requested"] in part.sizes]
    path = [{"penalty": x["penalty"]} | {k: x[k] for k in POINT[1:]} for x in result.get("path", [])]
    return row | {
        "error": None,
        "conditioning": result["conditioning"],
        "seconds": cost["seconds"],
        "peak_mb": cost["peak_mb"],
        **areas(gridded),
        "points": [{name: point[name] for name in POINT} for point in result["curve"]],
        "path": path,
    }


def _seeds(plan: Sweep, method: str) -> list[int]:
    """Return the seeds of a method: random circuits, which cost nothing to find, make a band in any sweep."""
    return sorted({*plan.seeds, *range(RANDOM_DRAWS)}) if method == RANDOM else plan.seeds


def _plan(request: Request) -> Sweep:
    assert request.sweep is not None
    return request.sweep
