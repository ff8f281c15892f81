"""Fill the README's tables from what was measured: `make readme`.

The benchmark table lies in assets/bench.json (`circuit-explorer bench --json`), what methods recover of
planted circuits in assets/planted.json, all else in cached_runs/.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from engine.bench.table import benches
from engine.instruments.importance.comparison import gaps, ratios
from engine.planted.table import recovery_table
from engine.runs.store import RunStore

# Median share of Δ under another ablation that optimal constants leave, in per cent (Li & Janson 2024).
PUBLISHED = {"zero": 11.1, "mean": 33.0, "resample": 17.7}
ROOT = Path(__file__).resolve().parents[2]
README, BENCH = ROOT / "README.md", ROOT / "assets" / "bench.json"
PLANTED = ROOT / "assets" / "planted.json"


def bench_table(bench: dict[str, Any]) -> str:
    """Return the benchmark table in Markdown; of a page, which runs no model, without units of F."""
    lines = ["| | F | ms | memory above the model |", "|---|---|---|---|"]
    for row in bench["rows"]:
        units = f"{row['f_units']:.2f}" if row["name"] in benches() else "–"
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


def planted_table(rows: list[dict[str, Any]]) -> str:
    """Return how well each method recovers each planted circuit, recall and AUROC, in Markdown."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    lines = [f"| method | {' | '.join(models)} |", "|---|" + "---|" * len(models)]
    for method in dict.fromkeys(row["method"] for row in rows):
        here = {row["model"]: row for row in rows if row["method"] == method}
        cells = (f"{here[model]['recall']:.2f} / {here[model]['auroc']:.2f}" for model in models)
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def gaps_table(store: RunStore) -> str:
    """Return what components cost under each ablation on each shipped task, and what optimal constants leave
    of it: medians over heads and MLPs, in Markdown."""
    names = ("optimal", *PUBLISHED)
    lines = ["| task | Δ optimal | " + " | ".join(f"Δ {x} | of {x}" for x in PUBLISHED) + " |"]
    lines.append("|---|---" + "|---|---" * len(PUBLISHED) + "|")
    runs = [run for run in store.list() if run.shipped and run.request.kind == "importance"]
    for task in sorted({run.request.task for run in runs}):
        # The first source is `input`, which is no component.
        kl = {
            run.request.ablation: run.tensors["kl"][1:].astype(float)
            for run in runs
            if run.request.task == task and run.request.ablation in names
        }
        of = {name: gaps(values.mean(1), values) for name, values in kl.items()}
        cells = [f"| {task} | {np.median(of['optimal'].mean):.2g}"] if "optimal" in of else []
        for name in PUBLISHED if cells else ():
            if name not in of:
                cells.append("– | –")
                continue
            ratio = ratios(of["optimal"], of[name]).median
            share = "–" if ratio is None else f"{100 * ratio:.0f} %"
            cells.append(f"{np.median(of[name].mean):.2g} | {share}")
        if cells:
            lines.append(" | ".join(cells) + " |")
    paper = " | ".join(f"– | {share} %" for share in PUBLISHED.values())
    return "\n".join([*lines, f"| *paper: IOI, GPT-2 small* | – | {paper} |"])


def sweep_table(store: RunStore) -> str:
    """Return the shipped sweep in Markdown: KL and edges left at the requested size, by task and ablation."""
    found = [run for run in store.list() if run.shipped and run.request.kind == "sweep"]
    if not found:
        return ""
    result, requested = found[0].result, found[0].request.target_edges(found[0].result["n_edges_total"])
    columns = list(dict.fromkeys((row["task"], row["ablation"]) for row in result["rows"]))
    head = " | ".join(f"{task}, {ablation}" for task, ablation in columns)
    lines = [f"| method | {head} |", "|---|" + "---|" * len(columns)]
    for method in dict.fromkeys(row["method"] for row in result["rows"]):
        cells = []
        for column in columns:
            here = [
                row
                for row in result["rows"]
                if (row["method"], row["task"], row["ablation"]) == (method, *column)
            ]
            points = [x for row in here for x in row["points"] if x["edges_requested"] == requested]
            kl = np.mean([point["kl"]["mean"] for point in points]) if points else np.nan
            edges = np.mean([point["n_edges"] for point in points]) if points else np.nan
            cells.append(f"{kl:.2g} ({edges:.0f})")
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def traces_table(store: RunStore) -> str:
    """Return the shipped traces of all facts at the last token in Markdown: the effect of every layer, and
    how many layers that is."""
    corruptions = {"optimal": "optimal ablation", "gaussian": "Gaussian noise"}
    lines = [
        "| restored | " + " | ".join(f"{name}: effects | layers" for name in corruptions.values()) + " |"
    ]
    lines.append("|---" * (1 + 2 * len(corruptions)) + "|")
    runs = {
        (run.request.trace.state, run.request.ablation): run.result["classes"]["last"]
        for run in store.list()
        if run.shipped and run.request.trace is not None and run.request.trace.prompt is None
    }
    for state in ("residual", "attention", "mlp"):
        cells = []
        for corruption in corruptions:
            if (found := runs.get((state, corruption))) is None:
                cells += ["–", "–"]
                continue
            means = [one["mean"] for one in found["effects"]["probability"]]
            effects = [f"{mean:.2f}" if abs(mean) >= 0.005 else "0" for mean in means]
            cells += [", ".join(effects), _estimate(found["concentration"], 2)]
        lines.append(f"| {state} | {' | '.join(cells)} |")
    return "\n".join(lines)


def lenses_table(store: RunStore) -> str:
    """Return how far each shipped lens is from the model before every layer, in Markdown."""
    found = [run for run in store.list() if run.shipped and run.request.kind == "train-lenses"]
    if not found:
        return ""
    result = found[0].result
    layers = [i for i, place in enumerate(result["places"]) if not place.endswith("-mid")]
    lines = ["| lens | parameters | " + " | ".join(f"layer {result['places'][i]}" for i in layers) + " |"]
    lines.append("|---" * (2 + len(layers)) + "|")
    for name, one in result["lenses"].items():
        cells = [_estimate(one["kl"][i]) for i in layers]
        lines.append(f"| {name} | {one['parameters']:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def filled(text: str) -> str:
    """Return the README with its tables as they should be now."""
    store = RunStore()
    tables = {"bench": bench_table(json.loads(BENCH.read_text())), "runs": runs_table(store)}
    tables |= {"planted": planted_table(json.loads(PLANTED.read_text()))}
    tables |= {"gaps": gaps_table(store), "sweep": sweep_table(store), "traces": traces_table(store)}
    tables |= {"lenses": lenses_table(store)}
    for name, table in tables.items():
        pattern = rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)"
        text = re.sub(
            pattern, lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text, flags=re.DOTALL
        )
    return text


def _estimate(value: dict[str, Any], digits: int = 3) -> str:
    return "{:.{n}f} [{:.{n}f}, {:.{n}f}]".format(value["mean"], *value["ci95"], n=digits)


if __name__ == "__main__":
    PLANTED.write_text(json.dumps(recovery_table(), indent=1) + "\n")
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")
