"""What the commands share: options, progress on standard error, one JSON object on standard output."""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from engine.errors import RequestError
from engine.runs.folder import first_problem
from engine.runs.request import Request

if TYPE_CHECKING:
    from engine.progress import Report

METRICS = ("kl", "faithfulness", "logit_difference", "probability_difference", "accuracy", "agreement")

_COLUMNS = (
    TextColumn("{task.percentage:>3.0f} %"),
    BarColumn(),
    TimeElapsedColumn(),
    TextColumn("{task.description}"),
)
_LINE_SECONDS = 5  # between two lines of a log

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
RunsDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder of your runs; CIRCUIT_EXPLORER_RUNS, or your data folder, if not given.",
        show_default=False,
    ),
]
ModelName = Annotated[str, typer.Option(help="A shipped name, a folder or a Hugging Face id.")]
TaskName = Annotated[str, typer.Option(help="A task's name or a task file (JSONL, JSON, CSV).")]
AblationName = Annotated[str, typer.Option(help="What stands in for what is ablated.")]
Split = Annotated[str, typer.Option(help="Prompts that circuits are evaluated on: train, validation, test.")]
NPrompts = Annotated[int, typer.Option(help="Prompts to discover with, and to evaluate on, at most.")]
Bos = Annotated[
    bool | None,
    typer.Option(
        "--bos/--no-bos", help="Override whether prompts begin with a BOS token.", show_default=False
    ),
]
Dtype = Annotated[
    str | None, typer.Option(help="float32, bfloat16 or float16; chosen if not given.", show_default=False)
]

SettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A setting of the method, or ablation.KEY=VALUE one of the ablation; may be repeated.",
        show_default=False,
    ),
]


def split_settings(given: list[str], methods: bool = True) -> tuple[dict[str, str], dict[str, str]]:
    """Return the settings of the method and those of the ablation.

    Args:
        given: KEY=VALUE of the method, ablation.KEY=VALUE of the ablation.
        methods: whether there is a method; if not, all settings are the ablation's.

    Raises:
        RequestError: one has another form.
    """
    of_method: dict[str, str] = {}
    of_ablation: dict[str, str] = {}
    for setting in given:
        key, equals, value = setting.partition("=")
        if not (key and equals):
            raise RequestError(f"--set {setting}: KEY=VALUE is needed, e.g. --set steps=500")
        if key.startswith("ablation.") or not methods:
            of_ablation[key.removeprefix("ablation.")] = value
        else:
            of_method[key] = value
    return of_method, of_ablation


def make_request(**fields: Any) -> Request:
    """Return the request of these fields.

    Raises:
        RequestError: a field is out of range or does not go with another.
    """
    try:
        return Request.model_validate(fields)
    except ValidationError as error:
        raise RequestError(first_problem(error)) from error


@contextmanager
def progress() -> "Iterator[Report]":
    """Give a `report` function that shows progress on standard error: a bar in a terminal, lines in a log.

    Within, whatever anything prints on standard output goes to standard error instead: only results go there.
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
    """Reports to a log: a line now and then."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, done: int, total: int, message: str) -> None:
        if time.monotonic() - self._last >= _LINE_SECONDS:
            sys.stderr.write(f"{100 * done // max(total, 1):3} % {message}\n")
            self._last = time.monotonic()


def print_json(content: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output."""
    print(json.dumps(content, ensure_ascii=False, allow_nan=False))


def print_metrics(content: Mapping[str, Any]) -> None:
    """Print the size of a circuit and its metrics for a person."""
    print(
        f"{'edges':24}{content['n_edges']} of {content['n_edges_total']} (sparsity {content['sparsity']:.4f})"
    )
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
