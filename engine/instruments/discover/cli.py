"""circuit-explorer discover: score every edge of a model for a task, and evaluate circuits of every size."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from engine.instruments.base import CarryOut
from engine.instruments.command import Fields, Json, RunsDir, SettingsOption, options_of, split_settings
from engine.instruments.discover.request import Discover
from engine.instruments.terminal import print_json, print_metrics
from engine.runs.kinds import make_request
from engine.runs.store import RunStore


@options_of(
    "fields",
    Discover,
    "model task method ablation edges sparsity qkv seed split n_prompts bos dtype",
)
def discover(
    carry_out: CarryOut,
    fields: Fields,
    settings: SettingsOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Also put the run's folder into this one.", show_default=False)
    ] = None,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Discover a circuit; the same request finds its finished run."""
    of_method, of_ablation = split_settings(settings or [])
    asked = make_request("discover", **fields, settings=of_method, ablation_settings=of_ablation)
    run = carry_out(asked, RunStore(runs_dir))
    folder = run.folder if out is None else _copy(run.folder, out)
    summary = {
        "run_id": run.run_id,
        "folder": str(folder),
        **{name: fields[name] for name in ("model", "task", "method", "ablation")},
        **run.result.summary.model_dump(),
        "metric": run.result.metric,
        "seconds": run.result.timings.seconds,
        "notes": run.result.notes,
    }
    if json:
        print_json(summary)
        return
    print(f"{'run':24}{folder}")
    print_metrics(summary, run.request.edges)


def _copy(folder: Path, out: Path) -> Path:
    """Copy a run's folder into `out`, whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    copy = out.resolve() / folder.name
    if not copy.exists():
        unfinished = copy.with_name(f".writing-{folder.name}")
        shutil.copytree(folder, unfinished, dirs_exist_ok=True)
        unfinished.rename(copy)
    return copy
