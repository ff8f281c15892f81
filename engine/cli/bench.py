"""circuit-explorer bench: the benchmark table."""

from typing import Annotated

import typer

from engine.cli.common import Json, print_json, progress


def bench(
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this bench; may be repeated.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Measure the fast paths in units of the plain Hugging Face forward."""
    with progress() as report:
        from engine.bench import run_bench  # torch takes seconds to import

        table = run_bench(only or [], report)
    if json:
        print_json(table)
        return
    unit, where = table["unit_seconds"], f"{table['device']}, {table['threads']} threads"
    print(f"F: one plain forward, {unit:.4f} s on {where}")
    print(f"{'':24}{'F':>8}{'seconds':>10}{'MB':>8}")
    for row in table["rows"]:
        print(f"{row['name']:24}{row['f_units']:8.2f}{row['seconds']:10.4f}{row['peak_mb']:8.0f}")
