"""What the page shows of a repeated discovery: names of its circuits, their numbers, who keeps which edge."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from app.figures.names import edge_label
from app.runs import Opened
from app.stability.figures.stability import ITSELF, ON_PART, SEED, WITHOUT, Measured
from engine.runs.store import Run

Repeat = dict[str, Any]


def ok(rows: Sequence[Repeat]) -> list[Repeat]:
    """Return the repeats that did not fail."""
    return [row for row in rows if row["error"] is None]


def part_names(result: dict[str, Any]) -> dict[tuple[str, ...], str]:
    """Return what the parts of the templates are called, by the templates held out."""
    rows = (*result["repeats"], *result["folds"])
    parts = dict.fromkeys(tuple(row["held_out"]) for row in rows if row["held_out"])
    return {part: f"part {place + 1}" for place, part in enumerate(parts)}


def labels_of(result: dict[str, Any], origin: str) -> dict[str, str]:
    """Return what each circuit is called, by its run."""
    parts = part_names(result)
    labels = dict.fromkeys(result["circuits"], "another")
    for row in result["repeats"]:
        part = parts.get(tuple(row["held_out"]))
        labels[row["run"]] = f"seed {row['seed']}" if part is None else f"without {part}"
    return labels | {origin: ITSELF}


def measured(own: dict[str, Any], result: dict[str, Any], metric: str) -> list[Measured]:
    """Return what the spread is made of: the circuit itself, other seeds, then each part of the templates."""
    parts = part_names(result)
    found = [Measured(ITSELF, ITSELF, own[metric])]
    repeats, folds = ok(result["repeats"]), ok(result["folds"])
    found += [Measured(f"seed {row['seed']}", SEED, row[metric]) for row in repeats if not row["held_out"]]
    for part, name in parts.items():
        for rows, kind in ((repeats, WITHOUT), (folds, ON_PART)):
            found += [
                Measured(f"held-out {name}", kind, row[metric])
                for row in rows
                if tuple(row["held_out"]) == part
            ]
    return found


def counts_of(opened: Opened, run: Run) -> list[int] | None:
    """Return how many edges are in exactly one of the circuits, in two, up to all; None: it is not known."""
    shares = frequency_of(opened, run)
    if shares is None:
        return None
    n = len(run.result["circuits"])
    counts = np.bincount(np.rint(shares * n).astype(int).clip(0, n), minlength=n + 1)
    return counts[1:].tolist()


def frequency_of(opened: Opened, run: Run) -> np.ndarray | None:
    """Return the share of the circuits that keep each edge, float [n_edges]; None if the run has none."""
    if run.tensors.shapes.get("frequency") != (opened.graph.n_edges,):
        return None
    if run.tensors.types["frequency"] not in ("F16", "F32", "F64"):
        return None
    return np.nan_to_num(run.tensors["frequency"]).clip(0, 1)


def repeats_table(opened: Opened, result: dict[str, Any]) -> pd.DataFrame:
    """Return one row for the circuit itself, every repeat, and the circuit itself on every part."""
    own, parts = opened.run.result["summary"], part_names(result)
    overlaps = dict(zip(result["circuits"], result["jaccard"][0], strict=True))
    rows = [{"what": ITSELF, "seed": opened.request.seed, "jaccard": None} | _numbers(own)]
    for row in (*result["repeats"], *result["folds"]):
        part = parts.get(tuple(row["held_out"]))
        on_part = row in result["folds"]
        what = (
            f"seed {row['seed']}" if part is None else f"{ITSELF} on {part}" if on_part else f"without {part}"
        )
        rows.append(
            {"what": what, "seed": row["seed"]}
            | {"jaccard": None if on_part else overlaps.get(row["run"])}
            | (_numbers(row) if row["error"] is None else {})
            | {"held_out": ", ".join(row["held_out"]), "error": row["error"], "run": row["run"]}
        )
    return pd.DataFrame(rows).replace("", None).dropna(axis="columns", how="all")


def _numbers(values: dict[str, Any]) -> dict[str, Any]:
    found = {"edges": values["n_edges"]}
    for metric in ("kl", "faithfulness"):
        low, high = values[metric]["ci95"]
        found |= {metric: values[metric]["mean"], f"{metric}_low": low, f"{metric}_high": high}
    return found | {"prompts": values["kl"]["n"]}


def edges_table(opened: Opened, run: Run) -> pd.DataFrame | None:
    """Return every edge that any of the circuits keeps, with in how many; None if that is not known."""
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
