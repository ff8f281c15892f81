"""Output of commands: progress on standard error, results on standard output."""

import json
import os
import sys
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from engine.progress import Report

METRICS = ("kl", "faithfulness", "logit_difference", "probability_difference", "accuracy", "agreement")

_COLUMNS = (
    TextColumn("{task.percentage:>3.0f} %"),
    BarColumn(),
    TimeElapsedColumn(),
    TextColumn("{task.description}"),
)
_LINE_SECONDS = 5  # between two lines of a log


@contextmanager
def progress() -> Generator[Report]:
    """Yield a `report` function that shows progress on standard error: a bar in a terminal, lines in a log.

    Inside, everything printed on standard output goes to standard error, since only results go to the former.
    """
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            if sys.stderr.isatty():
                with Progress(*_COLUMNS, console=Console(stderr=True), transient=True) as bar:
                    task = bar.add_task("starting", total=None)
                    yield lambda done, total, message: bar.update(
                        task, completed=done, total=total, description=message
                    )
            else:
                yield _Lines()
    finally:
        os.dup2(saved, 1)
        os.close(saved)


class _Lines:
    """A `report` function for logs, which prints a line from time to time."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, done: int, total: int, message: str) -> None:
        if time.monotonic() - self._last >= _LINE_SECONDS:
            sys.stderr.write(f"{100 * done // max(total, 1):3} % {message}\n")
            self._last = time.monotonic()


def print_notes(notes: Iterable[str]) -> None:
    """Print the notes of a computation on standard error."""
    for note in notes:
        sys.stderr.write(f"note: {note}\n")


def print_json(content: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output."""
    print(json.dumps(content, ensure_ascii=False, allow_nan=False))


def print_metrics(content: Mapping[str, Any], requested: int | None = None) -> None:
    """Print the size of a circuit and its metrics for a person.

    Args:
        content: size and metrics.
        requested: number of edges asked for; fewer are left without those on no path from input to logits.
    """
    n, left = content["n_edges"], ""
    if requested not in (None, n):
        left = f", of {requested} asked for the others are on no path from the input to the logits"
    print(f"{'edges':24}{n} of {content['n_edges_total']} (sparsity {content['sparsity']:.4f}){left}")
    for name in METRICS:
        if name in content:
            estimate = content[name]
            print(
                f"{name.replace('_', ' '):24}{_number(estimate['mean'])}   95 % {_interval(estimate['ci95'])}"
            )


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def _interval(bounds: list[float | None]) -> str:
    low, high = bounds
    return f"[{_number(low)}, {_number(high)}]"
