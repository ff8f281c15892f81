"""Fill the README's tables from what was measured: `make readme`.

The benchmark table lies in assets/bench.json (`circuit-explorer bench --json`), the circuits in cached_runs/.
"""

import json
import re
from pathlib import Path
from typing import Any

from engine.bench import BENCHES
from engine.runs import RunStore

ROOT = Path(__file__).resolve().parents[2]
README, BENCH = ROOT / "README.md", ROOT / "assets" / "bench.json"


def bench_table(bench: dict[str, Any]) -> str:
    """Return the benchmark table in Markdown; of a page, which runs no model, without units of F."""
    lines = ["| | F | ms | memory above the model |", "|---|---|---|---|"]
    for row in bench["rows"]:
        units = f"{row['f_units']:.2f}" if row["name"] in BENCHES else "–"
        lines.append(
            f"| {row['name']} | {units} | {1000 * row['seconds']:.0f} | {row['peak_mb'] / 1000:.2f} GB |"
        )
    unit = f"{bench['unit_seconds']:.2f} s on {bench['device']}, {bench['threads']} threads"
    return "\n".join([*lines, "", f"F = {unit}."])


def runs_table(store: RunStore) -> str:
    """Return the shipped discoveries in Markdown, each at its requested size."""
    lines = ["| task | ablation | edges | KL (nats) | faithfulness |", "|---|---|---|---|---|"]
    runs = [run for run in store.list() if run.shipped and run.request.kind == "discover"]
    for run in sorted(runs, key=lambda run: (run.request.ablation != "counterfactual", run.run_id)):
        summary = run.result["summary"]
        kl, faithfulness = (_estimate(summary[name]) for name in ("kl", "faithfulness"))
        edges = f"{summary['n_edges']} of {summary['n_edges_total']}"
        lines.append(f"| {run.request.task} | {run.request.ablation} | {edges} | {kl} | {faithfulness} |")
    return "\n".join(lines)


def filled(text: str) -> str:
    """Return the README with its tables as they should be now."""
    tables = {"bench": bench_table(json.loads(BENCH.read_text())), "runs": runs_table(RunStore())}
    for name, table in tables.items():
        pattern = rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)"
        text = re.sub(
            pattern, lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text, flags=re.DOTALL
        )
    return text


def _estimate(value: dict[str, Any]) -> str:
    low, high = value["ci95"]
    return f"{value['mean']:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")
