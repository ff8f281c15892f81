"""The README's table of ablation loss gaps of components under each ablation."""

import numpy as np

from engine.instruments.importance.comparison import gaps, ratios
from engine.instruments.tables import markdown, shipped
from engine.runs.store import RunStore

# Median share of Δ under another ablation that optimal constants leave, in per cent (Li & Janson 2024).
PUBLISHED = {"zero": 11.1, "mean": 33.0, "resample": 17.7}


def gaps_table(store: RunStore) -> str:
    """Return the table of Δ under each ablation on each shipped task, and of the ratios to optimal ablation.

    Both are medians over heads and MLPs; the table is in Markdown.
    """
    names = ("optimal", *PUBLISHED)
    runs = shipped(store, "importance")
    rows: list[list[str]] = []
    for task in sorted({run.request.task for run in runs}):
        # The first source is `input`, which is no component.
        kl = {
            run.request.ablation: run.tensors["kl"][1:].astype(float)
            for run in runs
            if run.request.task == task and run.request.ablation in names
        }
        if "optimal" not in kl:
            continue
        of = {name: gaps(values.mean(1), values) for name, values in kl.items()}
        row = [task, f"{np.median(of['optimal'].mean):.2g}"]
        for name in PUBLISHED:
            if name not in of:
                row += ["–", "–"]
                continue
            ratio = ratios(of["optimal"], of[name]).median
            row += [f"{np.median(of[name].mean):.2g}", "–" if ratio is None else f"{100 * ratio:.0f} %"]
        rows.append(row)
    paper = [cell for share in PUBLISHED.values() for cell in ("–", f"{share} %")]
    rows.append(["*paper: IOI, GPT-2 small*", "–", *paper])
    head = ["task", "Δ optimal", *(cell for name in PUBLISHED for cell in (f"Δ {name}", f"of {name}"))]
    return markdown(head, rows)
