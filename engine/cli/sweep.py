"""circuit-explorer sweep: methods × ablations × tasks × seeds, over the queue, on any number of workers."""

import time
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.common import (
    Bos,
    Dtype,
    Json,
    ModelName,
    NPrompts,
    RunsDir,
    Split,
    make_request,
    print_json,
    progress,
)
from engine.errors import Cancelled, CircuitExplorerError, RequestError
from engine.runs.store import RunStore

_LOOK = 0.3  # seconds between two looks at the job


def sweep(
    model: ModelName,
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
    qkv: Annotated[
        str, typer.Option(help="split: q, k and v of a head apart; merged: one input a head.")
    ] = "split",
    split: Split = "test",
    n_prompts: NPrompts = 200,
    bos: Bos = None,
    dtype: Dtype = None,
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
    request = make_request(
        kind="sweep",
        model=model,
        task=plan["tasks"][0],
        ablation=plan["ablations"][0],
        sizes=_numbers("sizes", sizes or ""),
        sweep=plan | {"seeds": _numbers("seeds", seeds), "settings": _settings(settings or [])},
        qkv=qkv,
        split=split,
        n_prompts=n_prompts,
        bos=bos,
        dtype=dtype,
    )
    store = RunStore(runs_dir)
    from engine.jobs.queue import JobQueue

    with progress() as report:
        queue = JobQueue(store, workers=workers)
        job_id = ""
        try:
            job_id = queue.submit(request)
            while (job := queue.status(job_id)).active:
                report(job.done, job.total, job.message)
                time.sleep(_LOOK)
        except KeyboardInterrupt as stop:
            if job_id:
                queue.cancel(job_id)
            raise Cancelled("cancelled") from stop
        finally:
            queue.close()
    if job.state == "cancelled":
        raise Cancelled("cancelled")
    if job.state == "failed":
        raise CircuitExplorerError(job.error or "the sweep failed")
    run = store.get(job_id)
    rows = run.result["rows"]
    if json:
        print_json({"run_id": run.run_id, "folder": str(run.folder), "rows": rows})
        return
    _print(run.folder, rows)


def _print(folder: Path, rows: list[dict]) -> None:
    head = f"{'task':24}{'ablation':22}{'method':26}{'seed':>6}{'CPR':>9}{'CMD':>9}{'seconds':>10}"
    print(f"run  {folder}\n{head}")
    for row in rows:
        first = f"{row['task']:24}{row['ablation']:22}{row['method']:26}{row['seed']:>6}"
        if row["error"] is not None:
            print(f"{first}  {row['error']}")
            continue
        areas = "".join("undefined" if row[name] is None else f"{row[name]:9.3f}" for name in ("cpr", "cmd"))
        print(f"{first}{areas}{row['seconds']:10.1f}")


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
    found: dict[str, dict[str, str]] = {}
    for setting in given:
        key, equals, value = setting.partition("=")
        method, dot, name = key.partition(".")
        if not (method and dot and name and equals):
            raise RequestError(
                f"--set {setting}: METHOD.KEY=VALUE is needed, e.g. --set edge-pruning.steps=500"
            )
        found.setdefault(method, {})[name] = value
    return found
