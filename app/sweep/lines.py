"""The rows of a sweep as lines of a chart: one for every method under every ablation, over the seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from app.figures.curve import interval_text
from app.figures.marks import run_mark
from app.figures.style import Look
from app.runs import title_of
from app.state import text_of
from app.sweep.figures.axes import Curve, Spot
from app.sweep.figures.pareto import DASHES

BASELINE = "random"

Row = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """What one method found under one ablation, on one task.

    Attributes:
        method, ablation: their names.
        rows: one a seed; those that failed have no points.
        total: edges of the graph.
    """

    method: str
    ablation: str
    rows: tuple[Row, ...]
    total: int

    @property
    def key(self) -> str:
        """What the address calls it."""
        return text_of((self.method, self.ablation))

    def spot_key(self, size: int) -> str:
        """Return what a click on the point of this size reports; `split_key` reads it."""
        return f"{self.key},{size}"

    @property
    def found(self) -> list[Row]:
        """The rows that did not fail."""
        return [row for row in self.rows if row["error"] is None]

    @property
    def method_title(self) -> str:
        """The method's title."""
        return title_of("method", self.method)

    @property
    def ablation_title(self) -> str:
        """The ablation with its conditioning: "Mean (per position)"."""
        kinds = sorted({row["conditioning"] for row in self.found} - {"none", None})
        return conditioned_title(self.ablation, " and ".join(kinds))

    @property
    def name(self) -> str:
        """Method and ablation in words."""
        return f"{self.method_title}, {self.ablation_title}"

    def spots(self, metric: str) -> list[Spot]:
        """Return the mean over seeds at every size at which all that did not fail are defined."""
        by_size: dict[int, list[Row]] = {}
        for row in self.found:
            for point in row["points"]:
                by_size.setdefault(point["edges_requested"], []).append(point)
        return [
            self._spot(metric, points, size)
            for size, points in sorted(by_size.items())
            if all(point[metric]["mean"] is not None for point in points)
        ]

    def path(self, metric: str) -> list[Spot]:
        """Return the circuits that the method chose itself, of every seed."""
        return [
            replace(
                self._spot(metric, [step], 0),
                text=f"{step['n_edges']:,} edges left, seed {row['seed']}",
                numbers=(_words(step[metric], metric), f"price {step['penalty']:.3g} nats per edge"),
            )
            for row in self.found
            for step in row["path"]
            if step[metric]["mean"] is not None
        ]

    def mean(self, name: str) -> float | None:
        """Return the mean over seeds of "cpr", "cmd", "seconds" or "peak_mb", as far as it is defined."""
        values = [row[name] for row in self.found if row[name] is not None]
        return sum(values) / len(values) if values else None

    def _spot(self, metric: str, points: Sequence[Row], size: int) -> Spot:
        edges = sum(point["n_edges"] for point in points) / len(points)
        values = [point[metric]["mean"] for point in points]
        value, several = sum(values) / len(values), len(points) > 1
        low, high = (min(values), max(values)) if several else points[0][metric]["ci95"]
        left = f"{edges:,.0f}" if edges >= 10 or edges == int(edges) else f"{edges:.1f}"
        numbers = (_words(points[0][metric], metric),)
        if several:
            numbers = (f"{_short(metric)} {value:.3g}", f"{len(points)} seeds: {low:.3g} – {high:.3g}")
        return Spot(
            edges,
            edges / self.total,
            value,
            low,
            high,
            f"{size:,} edges asked for, {left} left ({100 * edges / self.total:.2g} %)",
            numbers,
            self.spot_key(size),
        )


def split_key(key: str) -> tuple[str, int]:
    """Return the key of a line, and the size, of a point's key."""
    line, size = key.rsplit(",", 1)
    return line, int(size)


def lines_of(rows: Sequence[Row], task: str, total: int) -> list[Line]:
    """Return the lines of a task, in the order of the rows."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["task"] == task:
            found.setdefault((row["method"], row["ablation"]), []).append(row)
    return [Line(*names, tuple(rows), total) for names, rows in found.items()]


def curves_of(lines: Sequence[Line], shown: Sequence[Line], metric: str, scheme: Look) -> list[Curve]:
    """Return the curves of the lines shown; colours and dashes are by the place among all `lines`."""
    marks = marks_of([line.method for line in lines], scheme)
    dashes = dashes_of(lines)
    return [
        Curve(
            line.method_title,
            line.ablation_title,
            *marks[line.method],
            dashes[line.ablation_title],
            line.spots(metric),
            line.path(metric),
            line.method == BASELINE,
        )
        for line in shown
    ]


def marks_of(methods: Sequence[str], scheme: Look) -> dict[str, tuple[str, str]]:
    """Return colour and symbol of every method, by their order; the baseline is grey."""
    methods = [name for name in dict.fromkeys(methods) if name != BASELINE]
    marks = {name: run_mark(place, scheme) for place, name in enumerate(methods)}
    return {name: (mark.colour, mark.symbol) for name, mark in marks.items()} | {
        BASELINE: (scheme.muted, "circle")
    }


def dashes_of(lines: Sequence[Line]) -> dict[str, str]:
    """Return the dashes of every ablation, by its title with the conditioning: two of them are two."""
    titles = dict.fromkeys(line.ablation_title for line in lines)
    return {title: DASHES[place % len(DASHES)] for place, title in enumerate(titles)}


def conditioned_title(ablation: str, conditioning: str) -> str:
    """Return the title of an ablation with its conditioning, if it has constants."""
    title = title_of("ablation", ablation)
    return f"{title} ({conditioning})" if conditioning else title


def tidy(rows: Sequence[Row], total: int) -> pd.DataFrame:
    """Return everything a sweep measured as numbers: one row for every circuit of every discovery."""
    table = []
    names = ("task", "method", "ablation", "conditioning", "seed", "run", "error")
    names += ("seconds", "peak_mb", "cpr", "cmd")
    for row in rows:
        about = {name: row[name] for name in names}
        points = [point | {"penalty": None} for point in row["points"]]
        points += [step | {"edges_requested": None} for step in row["path"]]
        for point in points or [None]:
            numbers: Row = {"edges_total": total}
            if point is not None:
                numbers |= {name: point[name] for name in ("edges_requested", "penalty", "n_edges")}
                for metric in ("kl", "faithfulness"):
                    low, high = point[metric]["ci95"]
                    numbers |= {metric: point[metric]["mean"], f"{metric}_low": low, f"{metric}_high": high}
                numbers["prompts"] = point["kl"]["n"]
            table.append(about | numbers)
    return pd.DataFrame(table)


def _short(metric: str) -> str:
    return "KL" if metric == "kl" else "faithfulness"


def _words(estimate: Row, metric: str) -> str:
    unit = " nats" if metric == "kl" else ""
    return f"{_short(metric)} {estimate['mean']:.3g}{unit}, {interval_text(estimate)}"
