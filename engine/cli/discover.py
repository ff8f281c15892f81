"""circuit-explorer discover: score every edge of a model for a task, and evaluate circuits of every size."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.common import (
    AblationName,
    Bos,
    Dtype,
    Json,
    ModelName,
    NPrompts,
    RunsDir,
    SettingsOption,
    Split,
    TaskName,
    make_request,
    print_json,
    print_metrics,
    progress,
    split_settings,
)
from engine.runs.store import RunStore


def discover(
    model: ModelName,
    task: TaskName,
    method: Annotated[str, typer.Option(help="How edges are scored; `list methods` names them.")],
    ablation: AblationName,
    edges: Annotated[
        int | None, typer.Option(help="Edges to keep; 5 % of all if not given.", show_default=False)
    ] = None,
    sparsity: Annotated[
        float | None,
        typer.Option(help="Share of the edges to ablate, instead of --edges.", show_default=False),
    ] = None,
    settings: SettingsOption = None,
    qkv: Annotated[
        str, typer.Option(help="split: q, k and v of a head apart; merged: one input a head.")
    ] = "split",
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    split: Split = "test",
    n_prompts: NPrompts = 200,
    bos: Bos = None,
    dtype: Dtype = None,
    out: Annotated[
        Path | None, typer.Option(help="Also put the run's folder into this one.", show_default=False)
    ] = None,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Discover a circuit; the same request finds its finished run."""
    of_method, of_ablation = split_settings(settings or [])
    request = make_request(
        model=model,
        task=task,
        method=method,
        ablation=ablation,
        edges=edges,
        sparsity=sparsity,
        settings=of_method,
        ablation_settings=of_ablation,
        qkv=qkv,
        seed=seed,
        split=split,
        n_prompts=n_prompts,
        bos=bos,
        dtype=dtype,
    )
    store = RunStore(runs_dir)
    with progress() as report:
        from engine.experiments import run as carry_out  # torch and the model library take seconds to import

        run = store.get(carry_out(request, report, store))
    folder = run.folder if out is None else _copy(run.folder, out)
    summary = {
        "run_id": run.run_id,
        "folder": str(folder),
        "model": request.model,
        "task": request.task,
        "method": request.method,
        "ablation": request.ablation,
        **run.result["summary"],
        "metric": run.result["metric"],
        "seconds": run.result["timings"]["seconds"],
        "notes": run.result["notes"],
    }
    if json:
        print_json(summary)
        return
    print(f"{'run':24}{folder}")
    print_metrics(summary)
    for note in summary["notes"]:
        print(f"{'note':24}{note}")


def _copy(folder: Path, out: Path) -> Path:
    """Copy a run's folder into `out`, whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    copy = out.resolve() / folder.name
    if not copy.exists():
        unfinished = copy.with_name(f".writing-{folder.name}")
        shutil.copytree(folder, unfinished, dirs_exist_ok=True)
        unfinished.rename(copy)
    return copy
