"""circuit-explorer list: the models, tasks, ablations, methods and runs there are."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from engine.cli.common import Json, RunsDir, print_json
from engine.errors import unknown_name
from engine.runs.store import Run, RunStore

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

    rows = []
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

    found = {name: tasks.get(name) for name in tasks.names()}
    return {"tasks": [_described(name, task) | {"metric": task.metric} for name, task in found.items()]}


def _ablations() -> dict[str, list[Row]]:
    from engine.ablations.base import ablations

    found = {name: ablations.get(name) for name in ablations.names()}
    return {"ablations": [_described(name, item) | _settings(item.Settings) for name, item in found.items()]}


def _methods() -> dict[str, list[Row]]:
    from engine.discovery.base import methods

    found = {name: methods.get(name) for name in methods.names()}
    return {"methods": [_described(name, item) | _settings(item.Settings) for name, item in found.items()]}


def _runs(store: RunStore) -> dict[str, list[Row]]:
    rows = []
    for run in store.list():
        summary, request = run.result.get("summary", {}), run.request
        row = {
            "name": run.run_id,
            "description": f"{_size(run)}, {run.result['created']}",
            "folder": str(run.folder),
            "shipped": run.shipped,
            "created": run.result["created"],
            **{
                field: getattr(request, field)
                for field in ("kind", "model", "task", "method", "ablation", "seed")
            },
            **summary,
        }
        rows.append(row)
    broken = [{"folder": str(broken.folder), "problem": broken.problem} for broken in store.list_broken()]
    return {"runs": rows, "broken": broken}


def _size(run: Run) -> str:
    """Return how much a run is about; that of nodes, or of several discoveries, has no circuit to sum up."""
    result = run.result
    if summary := result.get("summary"):
        return f"{summary['n_edges']} of {summary['n_edges_total']} edges"
    if run.request.kind == "sweep":
        return f"{len(result['rows'])} discoveries"
    return f"{len(result['repeats'])} repeats" if run.request.kind == "stability" else "every node"


def _described(name: str, item: Any) -> Row:
    return {"name": name, "description": item.description, "title": item.title}


def _settings(model: Any) -> Row:
    return {"settings": model.model_json_schema()["properties"] if model.model_fields else {}}
