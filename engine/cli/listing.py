"""circuit-explorer list: the models, tasks, ablations, methods and runs there are."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from engine.errors import unknown_name
from engine.instruments.base import instruments
from engine.instruments.command import Json, RunsDir
from engine.instruments.terminal import print_json
from engine.runs.store import RunStore

Row = dict[str, Any]


def list_things(
    what: Annotated[str, typer.Argument(help="models, tasks, ablations, methods or runs.", metavar="WHAT")],
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """List models, tasks, ablations, methods or runs."""
    listings: dict[str, Callable[[], dict[str, list[Row]]]] = {
        "models": _models,
        "tasks": _tasks,
        "ablations": _ablations,
        "methods": _methods,
        "runs": lambda: _runs(RunStore(runs_dir)),
    }
    if what not in listings:
        raise unknown_name("listing", what, listings)
    listed = listings[what]()
    if json:
        print_json(listed)
        return
    width = max((len(row["name"]) for row in listed[what]), default=0) + 2
    for row in listed[what]:
        print(f"{row['name']:{width}}{row['description']}")
    for broken in listed.get("broken", []):
        typer.echo(broken["problem"], err=True)


def _models() -> dict[str, list[Row]]:
    from engine.models import shape_of_folder, shipped_models

    rows: list[Row] = []
    for name, folder in shipped_models().items():
        shape = shape_of_folder(folder)
        sizes = {"n_layers": shape.n_layers, "n_heads": shape.n_heads, "d_model": shape.d_model}
        line = f"{shape.family}, {shape.n_layers} layers, {shape.n_heads} heads, d_model {shape.d_model}"
        rows.append(
            {"name": name, "description": line, "folder": str(folder), "family": shape.family, **sizes}
        )
    return {"models": rows}


def _tasks() -> dict[str, list[Row]]:
    from engine.tasks.base import tasks

    registered = {name: tasks.get(name) for name in tasks.names()}
    return {"tasks": [_described(name, task) | {"metric": task.metric} for name, task in registered.items()]}


def _ablations() -> dict[str, list[Row]]:
    from engine.ablations.base import ablations

    registered = {name: ablations.get(name) for name in ablations.names()}
    return {
        "ablations": [_described(name, item) | _settings(item.Settings) for name, item in registered.items()]
    }


def _methods() -> dict[str, list[Row]]:
    from engine.discovery.base import methods

    registered = {name: methods.get(name) for name in methods.names()}
    return {
        "methods": [_described(name, item) | _settings(item.Settings) for name, item in registered.items()]
    }


def _runs(store: RunStore) -> dict[str, list[Row]]:
    rows: list[Row] = []
    for run in store.list():
        result, request = run.result, run.request.to_json()
        size = instruments.get(run.request.kind).size(run)
        rows.append(
            {
                "name": run.run_id,
                "description": f"{size}, {result.created}",
                "folder": str(run.folder),
                "shipped": run.shipped,
                "created": result.created,
                **{name: request[name] for name in ("kind", "model", "task", "method", "ablation", "seed")},
                **({} if (summary := result.circuit()) is None else summary.model_dump()),
            }
        )
    broken = [{"folder": str(broken.folder), "problem": broken.problem} for broken in store.list_broken()]
    return {"runs": rows, "broken": broken}


def _described(name: str, item: Any) -> Row:
    return {"name": name, "description": item.description, "title": item.title}


def _settings(model: Any) -> Row:
    return {"settings": model.model_json_schema()["properties"] if model.model_fields else {}}
