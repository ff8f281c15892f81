"""circuit-explorer sweep: methods × ablations × tasks × seeds, over the queue, on any number of workers."""

from pathlib import Path
from typing import Annotated

import typer

from engine.errors import RequestError
from engine.instruments.base import CarryOut
from engine.instruments.command import Fields, Json, RunsDir, options_of
from engine.instruments.sweep.request import Sweep
from engine.instruments.sweep.result import SweepRow
from engine.instruments.terminal import print_json
from engine.runs.kinds import make_request
from engine.runs.store import RunStore


@options_of("fields", Sweep, "model qkv split n_prompts bos dtype")
def sweep(
    carry_out: CarryOut,
    fields: Fields,
    methods: Annotated[str, typer.Option(help="Methods, separated by commas; `list methods` names them.")],
    ablations: Annotated[str, typer.Option(help="Ablations, separated by commas.")],
    tasks: Annotated[str, typer.Option(help="Tasks or task files, separated by commas.")],
    seeds: Annotated[str, typer.Option(help="Seeds, separated by commas.")] = "0",
    sizes: Annotated[
        str | None,
        typer.Option(help="Numbers of edges, separated by commas; MIB's if not given.", show_default=False),
    ] = None,
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
    plan = {
        name: _names(name, given)
        for name, given in (("methods", methods), ("ablations", ablations), ("tasks", tasks))
    }
    asked = make_request(
        "sweep",
        **fields,
        task=plan["tasks"][0],
        ablation=plan["ablations"][0],
        sizes=_numbers("sizes", sizes or ""),
        sweep=plan | {"seeds": _numbers("seeds", seeds), "settings": _settings(settings or [])},
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


def _names(what: str, given: str) -> list[str]:
    names = [name.strip() for name in given.split(",") if name.strip()]
    if not names:
        raise RequestError(f"--{what} '{given}': names separated by commas are needed")
    return names


def _numbers(what: str, given: str) -> list[int]:
    try:
        return [int(number) for number in given.split(",") if number.strip()]
    except ValueError as error:
        raise RequestError(f"--{what} '{given}': whole numbers separated by commas are needed") from error


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
