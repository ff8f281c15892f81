"""circuit-explorer export: a circuit of a run for other programs."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from engine.errors import RequestError
from engine.instruments.command import RunsDir
from engine.runs.export import exporter
from engine.runs.store import RunStore, open_run


def export(
    run: Annotated[str, typer.Argument(help="A run id or the folder of a run.", metavar="RUN")],
    format: Annotated[str, typer.Option(help="json, graphml, html or csv.")],  # noqa: A002 - the option's name
    edges: Annotated[
        int | None,
        typer.Option(help="Edges to keep; as many as were asked for if not given.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write; standard output if not given.", show_default=False)
    ] = None,
    runs_dir: RunsDir = None,
) -> None:
    """Write a circuit of a run as JSON, GraphML, HTML or CSV."""
    write = exporter(format)
    opened = open_run(RunStore(runs_dir), run)
    text = write(opened, opened.circuit_at(edges))
    if out is None:
        sys.stdout.write(text)
        return
    unfinished = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(out)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise RequestError(f"cannot write '{out}': {error.strerror}") from error
    sys.stderr.write(f"wrote {out}\n")
