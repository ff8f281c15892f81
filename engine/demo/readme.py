"""Filling the README's tables with measured numbers: `make readme`.

The benchmark table comes from assets/bench.json (`circuit-explorer bench --json`), the table of planted
circuits from assets/planted.json. All others are made from cached_runs/ by the instruments
(`Instrument.tables`).
"""

import json
import re
from pathlib import Path
from typing import Any

from engine.bench.table import benches
from engine.instruments.base import in_order
from engine.planted.table import recovery_table
from engine.runs.store import RunStore

ROOT = Path(__file__).resolve().parents[2]
README, BENCH = ROOT / "README.md", ROOT / "assets" / "bench.json"
PLANTED = ROOT / "assets" / "planted.json"


def bench_table(bench: dict[str, Any]) -> str:
    """Return the benchmark table in Markdown; rows of pages, which run no model, have no units of F."""
    lines = ["| | F | ms | memory above the model |", "|---|---|---|---|"]
    for row in bench["rows"]:
        units = f"{row['f_units']:.2f}" if row["name"] in benches() else "–"
        lines.append(
            f"| {row['name']} | {units} | {1000 * row['seconds']:.0f} | {row['peak_mb'] / 1000:.2f} GB |"
        )
    unit = f"{bench['unit_seconds']:.2f} s on {bench['device']}, {bench['threads']} threads"
    return "\n".join([*lines, "", f"F = {unit}."])


def planted_table(rows: list[dict[str, Any]]) -> str:
    """Return the table of recall and AUROC of each method on each planted circuit, in Markdown."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    lines = [f"| method | {' | '.join(models)} |", "|---|" + "---|" * len(models)]
    for method in dict.fromkeys(row["method"] for row in rows):
        row_of = {row["model"]: row for row in rows if row["method"] == method}
        cells = (f"{row_of[model]['recall']:.2f} / {row_of[model]['auroc']:.2f}" for model in models)
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def filled(text: str) -> str:
    """Return the text of the README with its tables made anew."""
    tables = {"bench": bench_table(json.loads(BENCH.read_text()))}
    tables["planted"] = planted_table(json.loads(PLANTED.read_text()))
    store = RunStore()
    for instrument in in_order():
        tables |= instrument.tables(store)
    for name, table in tables.items():
        pattern = rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)"
        text = re.sub(
            pattern, lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text, flags=re.DOTALL
        )
    return text


if __name__ == "__main__":
    PLANTED.write_text(json.dumps(recovery_table(), indent=1) + "\n")
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")
