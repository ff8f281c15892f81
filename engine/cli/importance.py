"""circuit-explorer importance: what is lost when each node alone is ablated."""

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
    progress,
    split_settings,
)
from engine.runs.store import RunStore


def importance(
    model: ModelName,
    task: TaskName,
    ablation: AblationName,
    settings: SettingsOption = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    split: Split = "test",
    n_prompts: NPrompts = 200,
    bos: Bos = None,
    dtype: Dtype = None,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Ablate every head and MLP alone: the KL from the full model, and its direct effect on the answer."""
    of_ablation = split_settings(settings or [], methods=False)[1]
    request = make_request(
        kind="importance",
        model=model,
        task=task,
        ablation=ablation,
        ablation_settings=of_ablation,
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
    nodes = run.result["nodes"]
    if json:
        about = {"run_id": run.run_id, "folder": str(run.folder), "conditioning": run.result["conditioning"]}
        print_json(about | {"nodes": nodes, "seconds": run.result["timings"]["seconds"]})
        return
    print(f"{'run':12}{run.folder}\n{'node':12}KL (nats)   95 %")
    for name, node in sorted(nodes.items(), key=lambda item: -item[1]["kl"]["mean"]):
        low, high = (float("nan") if bound is None else bound for bound in node["kl"]["ci95"])
        print(f"{name:12}{node['kl']['mean']:<12.4g}[{low:.4g}, {high:.4g}]")
