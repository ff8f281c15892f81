"""Recovery of planted circuits by every method: `python -m engine.planted.table` prints it in Markdown."""

import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.circuits.recovery import recovery
from engine.discovery.base import methods
from engine.planted import MODELS, Planted
from engine.progress import silent
from engine.settings import parse_settings

# Prices in nats per edge that suit models in which every planted edge is worth nats, and few steps.
_SAMPLED = {"lowest": 0.02, "highest": 0.2, "levels": 3, "steps": 60, "samples": 4}
_MASKS = {"steps": 200}

# Settings fit for models this small; a method that is not named here runs with its own.
OVERRIDES: dict[str, dict[str, Any]] = {
    "eap-then-edge-pruning": _MASKS,
    "edge-pruning": _MASKS,
    "hcgs": _SAMPLED,
    "node-pruning": _MASKS,
    "ugs": _SAMPLED,
}

Row = dict[str, Any]


def recovery_table(ablation: str = "counterfactual", seeds: Sequence[int] = (0,)) -> list[Row]:
    """Return a row for every planted model whose circuit is known under an ablation, and every method.

    Returns:
        Rows of "model", "method", "precision", "recall", "auroc" and "seconds", means over seeds.
    """
    built = {name: build() for name, build in MODELS.items()}
    return [
        measure(name, planted, method, ablation, seeds)
        for name, planted in built.items()
        if ablation in planted.ablations
        for method in methods.names()
    ]


def measure(name: str, planted: Planted, method: str, ablation: str, seeds: Sequence[int] = (0,)) -> Row:
    """Return the row of one planted model, called `name`, and one method; see `recovery_table`."""
    results = [_measure(planted, method, ablation, seed) for seed in seeds]
    means = {key: float(np.mean([result[key] for result in results])) for key in results[0]}
    return {"model": name, "method": method, **means}


def _measure(planted: Planted, method: str, ablation: str, seed: int) -> dict[str, float]:
    chosen = methods.get(method)
    settings = parse_settings(chosen.Settings, OVERRIDES.get(method, {}))
    problem = planted.problem(ablation, seed)
    began = time.perf_counter()
    scores = chosen.discover(problem, settings, seed, silent).scores.numpy()
    seconds = time.perf_counter() - began
    return {**recovery(planted.graph, scores, planted.circuit), "seconds": seconds}


def markdown(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table."""
    lines = ["| model | method | precision | recall | AUROC | seconds |", "|---|---|---|---|---|---|"]
    for row in rows:
        numbers = (f"{row[key]:.2f}" for key in ("precision", "recall", "auroc", "seconds"))
        lines.append("| " + " | ".join((row["model"], row["method"], *numbers)) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown(recovery_table()))
