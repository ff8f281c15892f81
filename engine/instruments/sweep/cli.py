"""circuit-explorer sweep: methods × ablations × tasks × seeds, over the queue, on any number of workers."""

from pathlib import Path
from typing import Annotated

import typer

from engine.errors import RequestError
from engine.instruments.base import CarryOut
from engine.instruments.command import Fields, Json, RunsDir, options_of
from engine.instruments.sweep.request import Sweep, SweepPlan
from engine.instruments.sweep.result import SweepRow
from engine.instruments.terminal import print_json
from engine.runs.kinds import make_request
from engine.runs.store import RunStore


@options_of("fields", Sweep, "model qkv split n_prompts bos dtype sizes")
@options_of("plan", SweepPlan, "methods ablations tasks seeds", otherwise={"seeds": "0"})
def sweep(
    carry_out: CarryOut,
    fields: Fields,
    plan: Fields,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="METHOD.KEY=VALUE",
            help="A setting of one of the methods; may be repeated.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that work side by side.")] = 1,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Compare methods: every one under every ablation on every task with every seed.

    What is finished is not computed again: after Ctrl-C the same command goes on.
    """
    if plan["seeds"] is None:
        plan["seeds"] = [0]
    asked = make_request(
        "sweep",
        **fields,
        task=plan["tasks"][0],
        ablation=plan["ablations"][0],
        sweep=plan | {"settings": _settings(settings or [])},
    )
    run = carry_out(asked, RunStore(runs_dir), workers)
    if json:
        rows = [row.model_dump() for row in run.result.rows]
        print_json({"run_id": run.run_id, "folder": str(run.folder), "rows": rows})
    else:
        _print(run.folder, run.result.rows)


def _print(folder: Path, rows: list[SweepRow]) -> None:
    head = f"{'task':24}{'ablation':22}{'method':26}{'seed':>6}{'CPR':>9}{'CMD':>9}{'seconds':>10}"
    print(f"run  {folder}\n{head}")
    for row in rows:
        first = f"{row.task:24}{row.ablation:22}{row.method:26}{row.seed:>6}"
        if row.error is not None:
            print(f"{first}  {row.error}")
            continue
        areas = "".join(
            f"{'undefined':>9}" if area is None else f"{area:9.3f}" for area in (row.cpr, row.cmd)
        )
        print(f"{first}{areas}{'' if row.seconds is None else f'{row.seconds:10.1f}'}")


def _settings(given: list[str]) -> dict[str, dict[str, str]]:
    """Return the settings by method."""
    by_method: dict[str, dict[str, str]] = {}
    for setting in given:
        key, equals, value = setting.partition("=")
        method, dot, name = key.partition(".")
        if not (method and dot and name and equals):
            raise RequestError(
                f"--set {setting}: METHOD.KEY=VALUE is needed, e.g. --set edge-pruning.steps=500"
            )
        by_method.setdefault(method, {})[name] = value
    return by_method
