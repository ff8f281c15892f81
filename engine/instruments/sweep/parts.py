"""Comparison of methods: every method under every ablation on every task with every seed.

Each circuit is measured by the same evaluator at the same sizes, by default those of the Mechanistic
Interpretability Benchmark (MIB, Mueller et al. 2025, 2504.13151), and each ranking of edges by MIB's two
areas over the share p of edges kept, f being faithfulness,

    CPR = ∫ f(p) dp        CMD = ∫ |1 - f(p)| dp ,

by the trapezoid rule over the measured shares (MIB's are from .001 to 1, without a point at 0).
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from engine.discovery.base import methods
from engine.instruments.base import Outcome
from engine.instruments.sweep.request import Sweep, SweepPlan
from engine.runs.found import Found
from engine.runs.kinds import make_request
from engine.runs.record import CurveResult, Point
from engine.runs.request import OfACircuit, Request

SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # MIB's
RANDOM, RANDOM_DRAWS = "random", 3


def mib_sizes(n_edges: int) -> list[int]:
    """Return MIB's numbers of edges in a graph of `n_edges`."""
    return sorted({max(1, int(share * n_edges)) for share in SHARES})


def parts(asked: Sweep) -> list[Request]:
    """Return a discovery for every combination.

    For an ablation with trained constants, a request of importance comes first: methods that train no
    constants
    themselves use those of this run.
    """
    plan = asked.sweep
    common = {name: getattr(asked, name) for name in ("model", "qkv", "split", "bos", "n_prompts", "dtype")}
    # Those first that need nothing of the importance runs, which other workers compute meanwhile.
    order = sorted(plan.methods, key=lambda name: not methods.get(name).trains_constants)
    first: list[Request] = []
    if not all(methods.get(name).trains_constants for name in order):
        first = [
            make_request("importance", task=task, ablation="optimal", seed=seed, **common)
            for task, seed in product(plan.tasks, plan.seeds)
            if "optimal" in plan.ablations
        ]
    return first + [
        make_request(
            "discover",
            task=task,
            ablation=ablation,
            method=method,
            settings=plan.settings.get(method, {}),
            seed=seed,
            edges=asked.edges,
            sizes=asked.sizes,
            **common,
        )
        for method, ablation, task in product(order, plan.ablations, plan.tasks)
        for seed in _seeds(plan, method)
    ]


def gather(asked: Sweep, parts: Sequence[Request], outcomes: Sequence[Outcome]) -> Found:
    """Return a row for every discovery, and the number of edges of the graph."""
    plan, total = asked.sweep, 1
    rows: list[dict[str, Any]] = []
    for part, outcome in zip(parts, outcomes, strict=True):
        if not isinstance(part, OfACircuit):  # importance, whose constants were wanted
            continue
        rows.append(_row(part, outcome))
        if not isinstance(outcome, str):
            total = outcome.result.summary.n_edges_total

    def place(row: dict[str, Any]) -> tuple[int, ...]:
        names = (plan.tasks.index(row["task"]), plan.ablations.index(row["ablation"]))
        return (*names, plan.methods.index(row["method"]), row["seed"])

    rows.sort(key=place)
    return Found({"n_edges_total": total, "rows": rows})


def areas(points: Sequence[Point]) -> dict[str, float | None]:
    """Return MIB's "cpr" and "cmd" of a curve; None where faithfulness is undefined at a point of it."""
    shares = np.array([point.edges_requested / point.n_edges_total for point in points])
    values = [point.faithfulness.mean for point in points]
    if len(points) < 2 or None in values:
        return {"cpr": None, "cmd": None}
    faithfulness = np.array(values, dtype=float)
    return {
        "cpr": float(np.trapezoid(faithfulness, shares)),
        "cmd": float(np.trapezoid(np.abs(1 - faithfulness), shares)),
    }


def _row(part: OfACircuit, outcome: Outcome) -> dict[str, Any]:
    (method,) = part.facets()["method"]
    row: dict[str, Any] = {"method": method, "ablation": part.ablation, "task": part.task}
    row |= {"seed": part.seed, "run": part.run_id()}
    if isinstance(outcome, str):
        row |= {"points": [], "path": [], "cpr": None, "cmd": None, "seconds": None, "peak_mb": None}
        return row | {"error": outcome, "conditioning": None}
    result: CurveResult = outcome.result
    # The size that the request asks for belongs to the curve, but not to MIB's grid.
    gridded = [point for point in result.curve if point.edges_requested in part.sizes]
    brief = {"n_edges", "kl", "faithfulness"}
    return row | {
        "error": None,
        "conditioning": result.conditioning,
        "seconds": None if result.cost is None else result.cost.seconds,
        "peak_mb": None if result.cost is None else result.cost.peak_mb,
        **areas(gridded),
        "points": [point.model_dump(include=brief | {"edges_requested"}) for point in result.curve],
        "path": [step.model_dump(include=brief | {"penalty"}) for step in result.path],
    }


def _seeds(plan: SweepPlan, method: str) -> list[int]:
    """Return the seeds of a method; random circuits, which cost nothing, get several in any sweep."""
    return sorted({*plan.seeds, *range(RANDOM_DRAWS)}) if method == RANDOM else plan.seeds
