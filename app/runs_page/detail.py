"""What one selected run is: what was asked, how it went, and what was measured of it."""

from typing import Any

import streamlit as st

from app.figures.curve import interval_text, number_text
from app.runs import KIND_NAMES, Shelf, own_title, run_title, title_of
from app.runs_page.facets import titles
from app.text import plain
from engine.completion import OF_A_RUN
from engine.runs.store import Run


def run_detail(run: Run, shelf: Shelf) -> None:
    """Draw what a run is: its numbers with intervals, its request, its versions, what was measured of it."""
    request, result = run.request, run.result
    title = own_title(run)
    st.markdown(f"**{plain(title or run_title(request))}**")
    if title is not None:
        st.caption(plain(run_title(request)))
    left, right = st.columns(2, gap="medium")
    with left:
        _facts("How good", _measured(run))
        _facts("How it went", _course(run))
    with right:
        _facts("What was asked", _asked(run))
    for note in result["notes"]:
        st.caption(f":material/info: {plain(note)}")
    if children := measured_of(run, shelf):
        st.caption(plain(f"Measured of it: {', '.join(child_title(child) for child in children)}."))


def measured_of(run: Run, shelf: Shelf) -> list[Run]:
    """Return the evaluations and measurements of a run's circuits."""
    return [
        other
        for other in shelf.others.values()
        if other.request.circuit == run.run_id
        or any(part.run == run.run_id for chosen in other.request.circuits for part in chosen.parts)
    ]


def child_title(run: Run) -> str:
    """Return what a run measured of others, in a few words."""
    kind = KIND_NAMES[run.request.kind].lower()
    return f"{kind} under {run.request.ablation} ({run.run_id.rsplit('-', 1)[-1]})"


def _facts(title: str, facts: dict[str, str]) -> None:
    st.caption(title)
    st.table({plain(what): plain(value) for what, value in facts.items()}, border="horizontal")


def _measured(run: Run) -> dict[str, str]:
    kind = run.request.kind
    if kind == "importance":
        return {"nodes": f"{len(run.result['nodes']):,} ablated one by one"}
    if kind == "sweep":
        return _compared(run.result)
    if kind == "stability":
        return _repeated(run.result)
    if kind == "trace":
        return _traced(run.result)
    if kind == "train-lenses":
        return {"texts": f"{run.result['n_texts']:,} held out", "lenses": ", ".join(run.result["lenses"])}
    if kind == "lens":
        return {"tokens": f"{len(run.result['tokens']):,}", "lenses": ", ".join(run.result["lenses"])}
    summary = run.result["summary"]
    metric = run.result["metric"]
    names = {"KL": "kl", "faithfulness": "faithfulness", metric.replace("_", " "): metric}
    share = 100 * summary["n_edges"] / summary["n_edges_total"]
    facts = {"edges": f"{summary['n_edges']:,} of {summary['n_edges_total']:,} ({share:.2g} %)"}
    for words, name in (names | {"same top token": "agreement", "accuracy": "accuracy"}).items():
        estimate = summary[name]
        facts[words] = f"{number_text(estimate)}  ({interval_text(estimate)})"
    return facts | {"prompts": f"{summary['kl']['n']:,} of the {run.request.split} split"}


def _compared(result: dict[str, Any]) -> dict[str, str]:
    """Return what a sweep compared; how good each method is, only a chart of one task can say."""
    rows = result["rows"]
    facts = {"discoveries": f"{len(rows):,}", "graph": f"{result['n_edges_total']:,} edges"}
    return facts | _errors(rows)


def _repeated(result: dict[str, Any]) -> dict[str, str]:
    """Return how the repeats of a discovery came out."""
    overlaps = [value for i, row in enumerate(result["jaccard"]) for value in row[:i]]
    facts = {"circuits": f"{len(result['circuits']):,}", "edges in all of them": f"{result['core']:,}"}
    if overlaps:
        chance = "" if result["expected"] is None else f", {result['expected']:.3g} by chance"
        facts["Jaccard"] = f"{min(overlaps):.3g} to {max(overlaps):.3g}{chance}"
    spread = [row["kl"]["mean"] for row in result["repeats"] if row["error"] is None and not row["held_out"]]
    if spread:
        facts["KL with other seeds"] = f"{min(spread):.3g} to {max(spread):.3g} nats"
    return facts | _errors([*result["repeats"], *result["folds"]])


def _traced(result: dict[str, Any]) -> dict[str, str]:
    """Return what the answer was worth clean and corrupted."""
    facts = {"prompts": f"{len(result['traced']):,}"}
    if not result["classes"]:
        facts["answer"] = result["traced"][0]["answer"].strip()
    for end in ("clean", "corrupted"):
        estimate = result[end]["probability"]
        facts[f"probability, {end}"] = f"{number_text(estimate)}  ({interval_text(estimate)})"
    return facts


def _errors(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Return how many of the parts failed, and the first reason."""
    errors = [row["error"] for row in rows if row["error"] is not None]
    return {"failed": f"{len(errors)} of {len(rows)}: {errors[0]}" if errors else "none"}


def _course(run: Run) -> dict[str, str]:
    result = run.result
    timings = result["timings"]
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    return {
        "created": result["created"],
        "seconds": f"{timings['seconds']:.0f}, of them {timings['evaluation_seconds']:.0f} of evaluation",
        "on": f"{result['device']}, {result['dtype']}",
        "with": versions,
        "folder": str(run.folder),
    }


def _asked(run: Run) -> dict[str, str]:
    request = run.request
    asked = {"kind": KIND_NAMES[request.kind], "model": request.model}
    if request.sweep is not None:
        for name in ("task", "method", "ablation"):
            asked[f"{name}s"] = titles(run, name)
        seeds = f"seeds {', '.join(map(str, request.sweep.seeds))}"
    else:
        conditioning = run.result.get("conditioning", "none")  # that of a repeated discovery is its own
        asked["task"] = request.task if request.task_hash else title_of("task", request.task)
        asked["ablation"] = request.ablation + ("" if conditioning == "none" else f", {conditioning}")
        seeds = f"seed {request.seed}"
    if request.trace is not None:
        asked["corruption"] = asked.pop("ablation")
    for form in (request.trace, request.lens, request.lens_training):
        fields = {} if form is None else form.model_dump(exclude_none=True)
        asked |= {
            name.replace("_", " "): str(value) for name, value in fields.items() if value not in ([], {})
        }
    asked["prompts"] = f"{request.n_prompts:,} at most, {seeds}"
    asked["head inputs"] = "q, k and v apart" if request.qkv == "split" else "merged"
    if request.method is not None:
        asked["method"] = title_of("method", request.method)
    if request.kind in OF_A_RUN:
        asked["circuits of"] = request.circuit or ""
    if request.stability is not None:
        asked["repeated with"] = f"seeds {', '.join(map(str, request.stability.seeds))}"
        asked["templates held out in"] = f"{request.stability.folds} parts"
    if request.circuits:
        asked["circuits"] = ", ".join(chosen.name for chosen in request.circuits)
    settings = request.settings | {f"ablation {key}": v for key, v in request.ablation_settings.items()}
    return asked | {
        name.replace("_", " "): str(value) for name, value in settings.items() if value is not None
    }
