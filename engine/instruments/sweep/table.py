"""The README's table of the shipped sweep."""

import numpy as np

from engine.instruments.tables import markdown, shipped
from engine.runs.store import RunStore


def sweep_table(store: RunStore) -> str:
    """Return the shipped sweep in Markdown: KL and edges left at the requested size, by task and ablation."""
    runs = shipped(store, "sweep")
    if not runs:
        return ""
    result = runs[0].result
    requested = runs[0].request.target_edges(result.n_edges_total)
    columns = list(dict.fromkeys((row.task, row.ablation) for row in result.rows))
    rows: list[list[str]] = []
    for method in dict.fromkeys(row.method for row in result.rows):
        cells: list[str] = []
        for column in columns:
            matching = [
                row for row in result.rows if (row.method, row.task, row.ablation) == (method, *column)
            ]
            points = [point for row in matching for point in row.points if point.edges_requested == requested]
            kl = np.mean([point.kl.mean for point in points]) if points else np.nan
            edges = np.mean([point.n_edges for point in points]) if points else np.nan
            cells.append(f"{kl:.2g} ({edges:.0f})")
        rows.append([method, *cells])
    return markdown(["method", *(f"{task}, {ablation}" for task, ablation in columns)], rows)
