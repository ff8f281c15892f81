"""Helpers for the tables of the README."""

from collections.abc import Sequence

from engine.runs.folder import AnyRun
from engine.runs.record import Estimate, Share
from engine.runs.store import RunStore


def shipped(store: RunStore, kind: str) -> list[AnyRun]:
    """Return the shipped runs of a kind, newest first."""
    return [run for run in store.list() if run.shipped and run.request.kind == kind]


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def estimate_text(value: Estimate | Share, digits: int = 3) -> str:
    """Return a mean with its interval."""
    return "{:.{n}f} [{:.{n}f}, {:.{n}f}]".format(value.mean, *value.ci95, n=digits)
