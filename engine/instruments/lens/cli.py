"""circuit-explorer lens: what the model would say if it stopped at a layer."""

from typing import Annotated, Any

import typer

from engine.instruments.base import CarryOut
from engine.instruments.command import Fields, Json, RunsDir, options_of, split_settings
from engine.instruments.lens.request import Reading, ReadText
from engine.instruments.lens.result import ReadTextResult
from engine.instruments.terminal import print_json
from engine.runs.folder import Run
from engine.runs.kinds import make_request
from engine.runs.store import RunStore

_WIDTH = 12  # of a column in the terminal
_LENSES = Reading.model_fields["lenses"]  # the registry knows others too, but it brings torch
_LENS = f"{', '.join(_LENSES.default)}, or any other in engine/lenses."


@options_of("fields", ReadText, "model bos dtype")
@options_of("reading", Reading, "text middle")
def lens(
    carry_out: CarryOut,
    fields: Fields,
    reading: Fields,
    name: Annotated[str, typer.Option("--lens", help=_LENS)] = "logit",
    stride: Annotated[int, typer.Option(min=1, help="Every so many layers; the last always.")] = 1,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="KEY=VALUE of training: tuned_from=FOLDER, texts=FILE, oca_steps=200, …; repeatable.",
            show_default=False,
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=10, help="Predictions at each place.")] = 10,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Read a text by a lens: its predictions at every layer and token, and how far they are from the model's.

    Layer l is the stream before layer l; the last is the model's own output. Lenses are trained once a model
    and setting.
    """
    store, trained = RunStore(runs_dir), None
    plan = reading | {"lenses": [name]}
    asked = make_request("lens", **fields, lens=plan)
    if of_training := split_settings(settings or [], methods=False)[1]:
        from engine.instruments.lens.read import check_reading  # torch takes seconds to import

        check_reading(asked, store)  # before its lenses are trained
        of_model = {key: fields[key] for key in ("model", "dtype")}
        training = make_request("train-lenses", **of_model, lens_training=of_training)
        trained = carry_out(training, store).run_id
    run = carry_out(make_request("lens", **fields, lens=plan | {"trained": trained}), store)
    from engine.lenses.reading import stride as strided  # torch takes seconds to import

    table = _table(run, name, strided(run.result.places, stride), top)
    if json:
        print_json(table | {"run_id": run.run_id, "folder": str(run.folder)})
    else:
        _print(run, table)


def _table(run: Run[ReadText, ReadTextResult], name: str, rows: list[int], top: int) -> dict[str, Any]:
    """Return the tokens and, for some rows, the layer, and KL and predictions at every token."""
    places, words = run.result.places, run.result.words
    kl, ids, p = (run.tensors[f"{key}.{name}"] for key in ("kl", "top_ids", "top_p"))
    return {
        "tokens": run.result.tokens,
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


def _print(run: Run[ReadText, ReadTextResult], table: dict[str, Any]) -> None:
    print(f"{'run':{_WIDTH}}{run.folder}\n{'layer':{_WIDTH}}first prediction after each token, KL in nats")
    print(" " * _WIDTH + "".join(_cell(token) for token in table["tokens"]))
    for layer, kl, top in zip(table["layers"], table["kl"], table["top"], strict=True):
        print(f"{layer!s:{_WIDTH}}" + "".join(_cell(best[0][0]) for best in top))
        print(" " * _WIDTH + "".join(f"{value:<{_WIDTH}.3f}" for value in kl))


def _cell(text: str) -> str:
    shown = text.replace("\n", "\\n")
    return f"{shown[: _WIDTH - 1]:{_WIDTH}}"
