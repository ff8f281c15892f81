"""circuit-explorer bench: the benchmark table."""

from typing import Annotated

import typer

from engine.instruments.command import Json
from engine.instruments.terminal import print_json, progress


def bench(
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this bench; may be repeated.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Measure the fast paths in units of the plain Hugging Face forward, and the dashboard's pages."""
    with progress() as report:
        from engine.bench.table import benches, run_bench

        table = run_bench(only or [], report)
    if json:
        print_json(table)
        return
    unit, where = table["unit_seconds"], f"{table['device']}, {table['threads']} threads"
    print(f"F: one plain forward, {unit:.4f} s on {where}")
    print(f"{'':24}{'F':>8}{'ms':>10}{'MB':>8}")
    for row in table["rows"]:
        # A page runs no model, so F is no measure of it.
        units = f"{row['f_units']:.2f}" if row["name"] in benches() else "–"
        print(f"{row['name']:24}{units:>8}{1000 * row['seconds']:10.1f}{row['peak_mb']:8.0f}")
