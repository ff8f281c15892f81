"""The command line, `circuit-explorer`: one file per command in this folder.

Results go to standard output, everything else to standard error. Exit status: 0 done, 2 a wrong request (one
line says what is wrong and what would be right), 1 a failure, 130 cancelled.
"""

import os
import sys

import typer

from engine.cli.bench import bench
from engine.cli.discover import discover
from engine.cli.evaluate import evaluate
from engine.cli.export import export
from engine.cli.importance import importance
from engine.cli.lens import lens
from engine.cli.listing import list_things
from engine.cli.serve import serve
from engine.cli.sweep import sweep
from engine.cli.trace import trace
from engine.errors import Cancelled, CircuitExplorerError
from engine.threads import fix_threads

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Discover circuits in language models and look at them in the browser.",
)
app.command()(serve)
app.command("list")(list_things)
app.command()(discover)
app.command()(evaluate)
app.command()(importance)
app.command()(sweep)
app.command()(trace)
app.command()(lens)
app.command()(export)
app.command()(bench)


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    fix_threads()
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # the libraries' own bars; ours makes lines of a log
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        status = app(arguments or ["--help"], prog_name="circuit-explorer", standalone_mode=False)
        if status == Cancelled.exit_status:  # Ctrl-C
            raise Cancelled("cancelled")
        return int(status or 0)
    except typer.TyperException as error:
        return _tell(error.format_message(), error.exit_code)
    except CircuitExplorerError as error:
        return _tell(str(error), error.exit_status)


def _tell(message: str, status: int) -> int:
    sys.stderr.write(f"circuit-explorer: {' '.join(message.split())}\n")
    return status
