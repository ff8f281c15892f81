"""Data of a repeated discovery: names and metrics of its circuits, and how many of them keep each edge."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from app.figures.names import edge_label
from app.runs import Opened
from app.stability.figures.stability import ITSELF, ON_PART, SEED, WITHOUT, SpreadMark
from engine.instruments.stability.request import Stability
from engine.instruments.stability.result import Repeat, StabilityResult
from engine.runs.folder import Run
from engine.runs.record import Estimate, Measured, Share

StabilityRun = Run[Stability, StabilityResult]

METRICS = ("kl", "faithfulness")


def ok(repeats: Iterable[Repeat]) -> list[Repeat]:
    """Return the repeats that did not fail."""
    return [repeat for repeat in repeats if repeat.error is None]


def part_names(result: StabilityResult) -> dict[tuple[str, ...], str]:
    """Return the names of the parts of the templates, by the templates held out."""
    repeats = (*result.repeats, *result.folds)
    parts = dict.fromkeys(tuple(repeat.held_out) for repeat in repeats if repeat.held_out)
    return {part: f"part {place + 1}" for place, part in enumerate(parts)}


def labels_of(result: StabilityResult, origin: str) -> dict[str, str]:
    """Return the name of each circuit, by the id of its run."""
    parts = part_names(result)
    labels = dict.fromkeys(result.circuits, "another")
    for repeat in result.repeats:
        part = parts.get(tuple(repeat.held_out))
        labels[repeat.run] = f"seed {repeat.seed}" if part is None else f"without {part}"
    return labels | {origin: ITSELF}


def spread_marks(own: Measured, result: StabilityResult, metric: str) -> list[SpreadMark]:
    """Return the marks of the spread: the circuit itself, other seeds, then each part of the templates."""
    repeats, folds = ok(result.repeats), ok(result.folds)
    marks = [SpreadMark(ITSELF, ITSELF, own.metric(metric))]
    marks += [
        SpreadMark(f"seed {repeat.seed}", SEED, repeat.estimate(metric))
        for repeat in repeats
        if not repeat.held_out
    ]
    for part, name in part_names(result).items():
        marks += [
            SpreadMark(f"held-out {name}", kind, repeat.estimate(metric))
            for measured, kind in ((repeats, WITHOUT), (folds, ON_PART))
            for repeat in measured
            if tuple(repeat.held_out) == part
        ]
    return marks


def counts_of(opened: Opened, run: StabilityRun) -> list[int] | None:
    """Return how many edges exactly 1, 2, … all of the circuits keep; None if the run does not say."""
    shares = frequency_of(opened, run)
    if shares is None:
        return None
    n = len(run.result.circuits)
    counts = np.bincount(np.rint(shares * n).astype(int).clip(0, n), minlength=n + 1)
    return counts[1:].tolist()


def frequency_of(opened: Opened, run: StabilityRun) -> np.ndarray | None:
    """Return the share of the circuits that keep each edge, float [n_edges]; None if the run has none."""
    if run.tensors.shapes.get("frequency") != (opened.graph.n_edges,):
        return None
    if run.tensors.types["frequency"] not in ("F16", "F32", "F64"):
        return None
    return np.nan_to_num(run.tensors["frequency"]).clip(0, 1)


def repeats_table(opened: Opened, result: StabilityResult) -> pd.DataFrame:
    """Return one row for the circuit itself, every repeat, and the circuit itself on every part."""
    own, parts = opened.run.result.summary, part_names(result)
    overlaps = dict(zip(result.circuits, result.jaccard[0], strict=True))
    itself = {"what": ITSELF, "seed": opened.request.seed, "jaccard": None}
    rows = [itself | _numbers(own.n_edges, own.kl, own.faithfulness)]
    for repeat in (*result.repeats, *result.folds):
        part, on_part = parts.get(tuple(repeat.held_out)), repeat in result.folds
        on_templates = f"{ITSELF} on {part}" if on_part else f"without {part}"
        row = {
            "what": f"seed {repeat.seed}" if part is None else on_templates,
            "seed": repeat.seed,
            "jaccard": None if on_part else overlaps.get(repeat.run),
        }
        if repeat.error is None:
            row |= _numbers(repeat.n_edges, *(repeat.estimate(metric) for metric in METRICS))
        rows.append(row | {"held_out": ", ".join(repeat.held_out), "error": repeat.error, "run": repeat.run})
    return pd.DataFrame(rows).replace("", None).dropna(axis="columns", how="all")


def _numbers(edges: int | None, kl: Estimate | Share, faithfulness: Estimate | Share) -> dict[str, Any]:
    numbers: dict[str, Any] = {"edges": edges}
    for name, estimate in zip(METRICS, (kl, faithfulness), strict=True):
        low, high = estimate.ci95
        numbers |= {name: estimate.mean, f"{name}_low": low, f"{name}_high": high}
    return numbers | {"prompts": kl.n}


def edges_table(opened: Opened, run: StabilityRun) -> pd.DataFrame | None:
    """Return every edge that a circuit keeps, with the number of circuits; None if the run does not say."""
    shares = frequency_of(opened, run)
    if shares is None:
        return None
    order = np.lexsort((-opened.scores, -shares))
    order = order[shares[order] > 0]
    mine = opened.run.circuit_at().kept
    names = np.array(opened.graph.edge_names)[order]
    return pd.DataFrame(
        {
            "edge": [edge_label(name) for name in names],
            "name": names,
            "share": shares[order],
            "here": mine[order],
        }
    )
