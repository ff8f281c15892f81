"""The command line, `circuit-explorer`: the commands of instruments, and further ones in this folder.

Results go to standard output, everything else to standard error. Exit status: 0 done, 2 a wrong request (one
line says what is wrong and what would be right), 1 a failure, 130 cancelled.
"""

import os
import sys

import typer

from engine.cli.bench import bench
from engine.cli.carry_out import carry_out
from engine.cli.export import export
from engine.cli.listing import list_things
from engine.cli.serve import serve
from engine.errors import Cancelled, CircuitExplorerError
from engine.instruments.base import in_order
from engine.instruments.command import supplied
from engine.shipped import check_shipped
from engine.threads import fix_threads


def command_line() -> typer.Typer:
    """Return the command line: the commands of all instruments that have one, and those of this folder."""
    app = typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Discover circuits in language models and look at them in the browser.",
    )
    app.command()(serve)
    app.command("list")(list_things)
    for instrument in in_order():
        if (command := instrument.command()) is not None:
            app.command()(supplied(command, carry_out=carry_out))
    app.command()(export)
    app.command()(bench)
    return app


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    fix_threads()
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # the libraries' own bars; ours makes lines of a log
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        check_shipped()
        status = command_line()(arguments or ["--help"], prog_name="circuit-explorer", standalone_mode=False)
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
