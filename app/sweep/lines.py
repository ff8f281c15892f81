"""The rows of a sweep as lines of a chart: one for every method under every ablation, over the seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from app.figures.curve import interval_text
from app.figures.marks import run_mark
from app.figures.style import Look
from app.state import text_of
from app.sweep.figures.axes import Curve, Spot
from app.sweep.figures.pareto import DASHES
from app.text import percent
from engine.instruments.sweep.result import SweepRow
from engine.instruments.words import title_of
from engine.runs.record import Brief, Estimate, Share

BASELINE = "random"


@dataclass(frozen=True)
class Line:
    """Discoveries of one method under one ablation on one task.

    Attributes:
        method, ablation: their names.
        rows: one row per seed; failed ones have no points.
        total: number of edges of the graph.
    """

    method: str
    ablation: str
    rows: tuple[SweepRow, ...]
    total: int

    @property
    def key(self) -> str:
        """The line's key in the address."""
        return text_of((self.method, self.ablation))

    def spot_key(self, size: int) -> str:
        """Return the id that a click on the point of this size reports; `split_key` splits it."""
        return f"{self.key},{size}"

    @property
    def succeeded(self) -> list[SweepRow]:
        """The rows that did not fail."""
        return [row for row in self.rows if row.error is None]

    @property
    def method_title(self) -> str:
        """The method's title."""
        return title_of("method", self.method)

    @property
    def ablation_title(self) -> str:
        """The ablation with its conditioning: "Mean (per position)"."""
        conditionings = {row.conditioning for row in self.succeeded if row.conditioning is not None}
        return conditioned_title(self.ablation, " and ".join(sorted(conditionings - {"none"})))

    @property
    def name(self) -> str:
        """Method and ablation in words."""
        return f"{self.method_title}, {self.ablation_title}"

    def spots(self, metric: str) -> list[Spot]:
        """Return the mean over seeds at every size at which the metric is defined for all of `succeeded`."""
        by_size: dict[int, list[Brief]] = {}
        for row in self.succeeded:
            for point in row.points:
                by_size.setdefault(point.edges_requested, []).append(point)
        return [
            self._spot(metric, points, size)
            for size, points in sorted(by_size.items())
            if all(point.estimate(metric).mean is not None for point in points)
        ]

    def path(self, metric: str) -> list[Spot]:
        """Return the circuits that the method chose itself, of every seed."""
        return [
            replace(
                self._spot(metric, [step], 0),
                text=f"{step.n_edges:,} edges left, seed {row.seed}",
                numbers=(
                    _words(step.estimate(metric), metric),
                    f"price {step.penalty:.3g} nats per edge",
                ),
            )
            for row in self.succeeded
            for step in row.path
            if step.estimate(metric).mean is not None
        ]

    def mean(self, name: str) -> float | None:
        """Return the mean over seeds of "cpr", "cmd", "seconds" or "peak_mb"; None if no row has it."""
        values = [value for row in self.succeeded if (value := getattr(row, name)) is not None]
        return sum(values) / len(values) if values else None

    def _spot(self, metric: str, circuits: Sequence[Brief], size: int) -> Spot:
        edges = sum(circuit.n_edges for circuit in circuits) / len(circuits)
        estimates = [circuit.estimate(metric) for circuit in circuits]
        values = [estimate.mean for estimate in estimates if estimate.mean is not None]
        value = sum(values) / len(values)
        low, high = estimates[0].ci95
        numbers: tuple[str, ...] = (_words(estimates[0], metric),)
        if len(circuits) > 1:
            low, high = min(values), max(values)
            numbers = (f"{_short(metric)} {value:.3g}", f"{len(circuits)} seeds: {low:.3g} – {high:.3g}")
        left = f"{edges:,.0f}" if edges >= 10 or edges == int(edges) else f"{edges:.1f}"
        return Spot(
            edges,
            edges / self.total,
            value,
            low,
            high,
            f"{size:,} edges asked for, {left} left ({percent(edges, self.total)})",
            numbers,
            self.spot_key(size),
        )


def split_key(key: str) -> tuple[str, int]:
    """Split the key of a point into the key of its line and its size."""
    line, size = key.rsplit(",", 1)
    return line, int(size)


def lines_of(rows: Sequence[SweepRow], task: str, total: int) -> list[Line]:
    """Return the lines of a task, in the order of the rows."""
    by_names: dict[tuple[str, str], list[SweepRow]] = {}
    for row in rows:
        if row.task == task:
            by_names.setdefault((row.method, row.ablation), []).append(row)
    return [Line(*names, tuple(rows), total) for names, rows in by_names.items()]


def curves_of(lines: Sequence[Line], shown: Sequence[Line], metric: str, scheme: Look) -> list[Curve]:
    """Return the curves of the lines shown; their colours and dashes depend on all `lines`."""
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
    """Return colour and symbol of every method by name; the baseline is grey."""
    methods = [name for name in dict.fromkeys(methods) if name != BASELINE]
    marks = {name: run_mark(place, scheme) for place, name in enumerate(methods)}
    return {name: (mark.colour, mark.symbol) for name, mark in marks.items()} | {
        BASELINE: (scheme.muted, "circle")
    }


def dashes_of(lines: Sequence[Line]) -> dict[str, str]:
    """Return the dashes of every ablation, by its title with the conditioning."""
    titles = dict.fromkeys(line.ablation_title for line in lines)
    return {title: DASHES[place % len(DASHES)] for place, title in enumerate(titles)}


def conditioned_title(ablation: str, conditioning: str) -> str:
    """Return the title of an ablation with its conditioning, if it has constants."""
    title = title_of("ablation", ablation)
    return f"{title} ({conditioning})" if conditioning else title


def tidy(rows: Sequence[SweepRow], total: int) -> pd.DataFrame:
    """Return everything a sweep measured as numbers: one row for every circuit of every discovery."""
    table = []
    names = ("task", "method", "ablation", "conditioning", "seed", "run", "error")
    names += ("seconds", "peak_mb", "cpr", "cmd")
    for row in rows:
        about = {name: getattr(row, name) for name in names} | {"edges_total": total}
        points = [
            {"edges_requested": point.edges_requested, "penalty": None} | _numbers(point)
            for point in row.points
        ]
        points += [{"edges_requested": None, "penalty": step.penalty} | _numbers(step) for step in row.path]
        table += [about | point for point in points or [{}]]
    return pd.DataFrame(table)


def _numbers(circuit: Brief) -> dict[str, float | None]:
    numbers: dict[str, float | None] = {"n_edges": circuit.n_edges}
    for metric in ("kl", "faithfulness"):
        estimate = circuit.estimate(metric)
        low, high = estimate.ci95
        numbers |= {metric: estimate.mean, f"{metric}_low": low, f"{metric}_high": high}
    return numbers | {"prompts": circuit.kl.n}


def _short(metric: str) -> str:
    return "KL" if metric == "kl" else "faithfulness"


def _words(estimate: Estimate | Share, metric: str) -> str:
    unit = " nats" if metric == "kl" else ""
    return f"{_short(metric)} {estimate.mean:.3g}{unit}, {interval_text(estimate)}"
