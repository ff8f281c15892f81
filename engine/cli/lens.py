"""circuit-explorer lens: what the model would say if it stopped at a layer."""

from typing import Annotated, Any

import typer

from engine.cli.common import (
    Bos,
    Dtype,
    Json,
    ModelName,
    RunsDir,
    make_request,
    print_json,
    progress,
    split_settings,
)
from engine.runs.store import Run, RunStore

_WIDTH = 12  # of a column in the terminal


def lens(
    model: ModelName,
    text: Annotated[str, typer.Option(help="The text that is read.")],
    lens: Annotated[str, typer.Option(help="logit, mean, tuned, oca or linear-oca.")] = "logit",
    stride: Annotated[int, typer.Option(min=1, help="Every so many layers; the last always.")] = 1,
    middle: Annotated[
        bool, typer.Option("--middle", help="Also in the middle of layers, l + 0.5, before their MLP.")
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="KEY=VALUE of training: tuned_from=FOLDER, texts=FILE, oca_steps=200, …; repeatable.",
            show_default=False,
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=10, help="Predictions at each place.")] = 10,
    bos: Bos = None,
    dtype: Dtype = None,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Read a text by a lens: its predictions at every layer and token, and how far they are from the model's.

    Layer l is the stream before layer l; the last is the model's own output. Lenses are trained once a model
    and setting.
    """
    about = {"model": model, "task": "text", "ablation": "none", "dtype": dtype}
    reading = {"text": text, "lenses": [lens], "middle": middle}
    request = make_request(kind="lens", lens=reading, bos=bos, **about)
    of_training = split_settings(settings or [], methods=False)[1]
    store = RunStore(runs_dir)
    with progress() as report:
        from engine.experiments import run as carry_out  # torch and the model library take seconds to import
        from engine.lenses.reading import stride as strided

        if of_training:
            training = make_request(kind="train-lenses", lens_training=of_training, **about)
            trained = carry_out(training, report, store)
            request = make_request(kind="lens", lens=reading | {"trained": trained}, bos=bos, **about)
        run = store.get(carry_out(request, report, store))
    found = _table(run, lens, strided(run.result["places"], stride), top)
    if json:
        print_json(found | {"run_id": run.run_id, "folder": str(run.folder)})
    else:
        _print(run, found)


def _table(run: Run, lens: str, rows: list[int], top: int) -> dict[str, Any]:
    """Return tokens, and for some rows their layer, KL and predictions of every token."""
    places, words = run.result["places"], run.result["words"]
    kl, ids, p = (run.tensors[f"{key}.{lens}"] for key in ("kl", "top_ids", "top_p"))
    return {
        "tokens": run.result["tokens"],
        "layers": [_layer(places, i) for i in rows],
        "kl": [kl[i].tolist() for i in rows],
        "top": [
            [
                [[words[str(token)], share] for token, share in zip(some[:top], shares, strict=False)]
                for some, shares in zip(ids[i].tolist(), p[i].tolist(), strict=True)
            ]
            for i in rows
        ],
    }


def _layer(places: list[str], row: int) -> float:
    """Return the number of a row's layer; the output is one more than the last layer."""
    if row == len(places) - 1:
        return int(places[-2].removesuffix("-mid")) + 1
    layer, middle, _ = places[row].partition("-mid")
    return int(layer) + 0.5 if middle else int(layer)


def _print(run: Run, found: dict[str, Any]) -> None:
    print(f"{'run':{_WIDTH}}{run.folder}\n{'layer':{_WIDTH}}first prediction after each token, KL in nats")
    print(" " * _WIDTH + "".join(_cell(token) for token in found["tokens"]))
    for layer, kl, top in zip(found["layers"], found["kl"], found["top"], strict=True):
        print(f"{layer!s:{_WIDTH}}" + "".join(_cell(best[0][0]) for best in top))
        print(" " * _WIDTH + "".join(f"{value:<{_WIDTH}.3f}" for value in kl))


def _cell(text: str) -> str:
    shown = text.replace("\n", "\\n")
    return f"{shown[: _WIDTH - 1]:{_WIDTH}}"
