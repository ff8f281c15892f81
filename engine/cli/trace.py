"""circuit-explorer trace: where in tokens and layers a fact is recalled."""

from typing import Annotated, Any

import numpy as np
import typer

from engine.cli.common import (
    Bos,
    Dtype,
    Json,
    ModelName,
    NPrompts,
    RunsDir,
    SettingsOption,
    make_request,
    print_json,
    progress,
    split_settings,
)
from engine.errors import RequestError
from engine.runs.store import Run, RunStore


def trace(
    model: ModelName,
    corruption: Annotated[str, typer.Option(help="gaussian or optimal.")] = "gaussian",
    prompt: Annotated[str | None, typer.Option(help="A prompt of your own.", show_default=False)] = None,
    subject: Annotated[
        str | None, typer.Option(help="What is corrupted, as it stands in the prompt.", show_default=False)
    ] = None,
    answer: Annotated[
        str | None,
        typer.Option(
            help="What is followed, of one or more tokens; the model's choice if not given.",
            show_default=False,
        ),
    ] = None,
    wrong_answer: Annotated[
        str | None,
        typer.Option(
            help="What its logit is set against; the model's next choice if not given.", show_default=False
        ),
    ] = None,
    task: Annotated[
        str, typer.Option(help="Traced where there is no prompt, and what constants are trained on.")
    ] = "facts",
    kind: Annotated[str, typer.Option(help="What is restored: residual, attention, mlp, head.")] = "residual",
    window: Annotated[int, typer.Option(help="Layers restored at once.")] = 1,
    noise: Annotated[
        float | None,
        typer.Option(help="Standard deviations of Gaussian noise, 3 if not given.", show_default=False),
    ] = None,
    holdout: Annotated[
        str, typer.Option(help="What test prompts keep from training: random, or whole relations.")
    ] = "random",
    settings: SettingsOption = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    n_prompts: NPrompts = 200,
    bos: Bos = None,
    dtype: Dtype = None,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Corrupt a prompt's subject, restore one clean state, and see how much of the answer comes back.

    In the JSON of a prompt "effects" are the restored probability minus the corrupted one. Under optimal
    ablation every class of token and layer has a constant of its own, and "paired_effects", like the page,
    the table and the averages over a task, are against the same constant with nothing restored.
    """
    of_corruption: dict[str, Any] = split_settings(settings or [], methods=False)[1]
    if noise is not None:
        if corruption != "gaussian":
            raise RequestError(f"--noise is for --corruption gaussian; '{corruption}' has none")
        of_corruption["noise"] = noise
    request = make_request(
        kind="trace",
        model=model,
        task=task,
        ablation=corruption,
        ablation_settings=of_corruption,
        seed=seed,
        n_prompts=n_prompts,
        bos=bos,
        dtype=dtype,
        trace={
            "state": kind,
            "window": window,
            "prompt": prompt,
            "subject": subject,
            "answer": answer,
            "wrong_answer": wrong_answer,
            "holdout": holdout,
        },
    )
    store = RunStore(runs_dir)
    with progress() as report:
        from engine.experiments import run as carry_out  # torch and the model library take seconds to import

        run = store.get(carry_out(request, report, store))
    if prompt is None:
        _print_task(run, json)
    else:
        _print_prompt(run, json)


def _print_prompt(run: Run, json: bool) -> None:
    assert run.request.trace is not None
    traced, ends = run.result["traced"][0], (run.result["clean"], run.result["corrupted"])
    clean, corrupted = (end["probability"]["mean"] for end in ends)
    arrays = (run.tensors[name][..., 0].astype(float) for name in ("effects", "restored"))
    paired, restored = (array.mean(2) for array in arrays)
    if json:
        # The one pair of numbers sets every cell against the one corrupted value that is printed; the other,
        # as on the page, against the cell's own constant, which is the same for noise.
        effects = (restored - corrupted).tolist()
        about = {"paired_effects": paired.tolist(), "run_id": run.run_id, "folder": str(run.folder)}
        said = {
            "tokens": traced["tokens"],
            "answer": traced["answer"],
            "clean": clean,
            "corrupted": corrupted,
        }
        print_json(said | {"effects": effects, "subject": traced["subject"]} | about)
        return
    print(f"{'run':12}{run.folder}\np({traced['answer']!r}): clean {clean:.4f}, corrupted {corrupted:.4f}")
    columns = f"layer by layer{', head by head' * (run.request.trace.state == 'head')}"
    print(f"{'token':16}effect of restoring it, {columns}")
    first, end = traced["subject"]
    for i, (token, row) in enumerate(zip(traced["tokens"], paired, strict=True)):
        print(f"{token + ' *' * (first <= i < end):16}" + " ".join(f"{value:7.3f}" for value in row))


def _print_task(run: Run, json: bool) -> None:
    assert run.request.trace is not None
    result = run.result
    if json:
        ends = {name: result[name] for name in ("clean", "corrupted")}
        about = {"run_id": run.run_id, "folder": str(run.folder), "n_drawn": result["n_drawn"]}
        print_json(about | ends | {"classes": result["classes"], "seconds": result["timings"]["seconds"]})
        return
    clean, corrupted = (result[name]["probability"]["mean"] for name in ("clean", "corrupted"))
    print(f"{'run':16}{run.folder}\nprobability of the answer: clean {clean:.4f}, corrupted {corrupted:.4f}")
    columns = f"layer by layer{', head by head' * (run.request.trace.state == 'head')}"
    print(f"{'restored':16}average indirect effect, {columns}")
    for name, of_class in result["classes"].items():
        means = [np.nan if one is None else one["mean"] for one in of_class["effects"]["probability"]]
        print(f"{name:16}" + " ".join(f"{value:7.3f}" for value in means))
