"""circuit-explorer trace: where in tokens and layers a fact is recalled."""

from typing import Annotated, Any

import numpy as np
import typer

from engine.errors import RequestError
from engine.instruments.base import CarryOut
from engine.instruments.command import Fields, Json, RunsDir, SettingsOption, options_of, split_settings
from engine.instruments.terminal import print_json
from engine.instruments.trace.request import Trace, TracePlan
from engine.instruments.trace.result import TraceResult
from engine.runs.folder import Run
from engine.runs.kinds import make_request
from engine.runs.store import RunStore


@options_of("fields", Trace, "model ablation task seed n_prompts bos dtype", {"ablation": "corruption"})
@options_of(
    "plan",
    TracePlan,
    "prompt subject subject_occurrence answer wrong_answer state window holdout",
    {"state": "kind"},
)
def trace(
    carry_out: CarryOut,
    fields: Fields,
    plan: Fields,
    noise: Annotated[
        float | None,
        typer.Option(help="Standard deviations of Gaussian noise, 3 if not given.", show_default=False),
    ] = None,
    settings: SettingsOption = None,
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
        if fields["ablation"] != "gaussian":
            raise RequestError(f"--noise is for --corruption gaussian; '{fields['ablation']}' has none")
        of_corruption["noise"] = noise
    asked = make_request("trace", **fields, ablation_settings=of_corruption, trace=plan)
    run = carry_out(asked, RunStore(runs_dir))
    if plan["prompt"] is None:
        _print_task(run, json)
    else:
        _print_prompt(run, json)


def _print_prompt(run: Run[Trace, TraceResult], json: bool) -> None:
    traced, state = run.result.traced[0], run.request.trace.state
    clean, corrupted = (end["probability"].mean for end in (run.result.clean, run.result.corrupted))
    arrays = (run.tensors[name][..., 0].astype(float) for name in ("effects", "restored"))
    paired, restored = (array.mean(2) for array in arrays)
    if json:
        # The one pair of numbers sets every cell against the one corrupted value that is printed; the other,
        # as on the page, against the cell's own constant, which is the same for noise.
        effects = (restored - corrupted).tolist()
        about = {"paired_effects": paired.tolist(), "run_id": run.run_id, "folder": str(run.folder)}
        ends = {"tokens": traced.tokens, "answer": traced.answer, "clean": clean, "corrupted": corrupted}
        print_json(ends | {"effects": effects, "subject": traced.subject} | about)
        return
    print(f"{'run':12}{run.folder}\np({traced.answer!r}): clean {clean:.4f}, corrupted {corrupted:.4f}")
    columns = f"layer by layer{', head by head' * (state == 'head')}"
    print(f"{'token':16}effect of restoring it, {columns}")
    first, end = traced.subject
    for i, (token, row) in enumerate(zip(traced.tokens, paired, strict=True)):
        print(f"{token + ' *' * (first <= i < end):16}" + " ".join(f"{value:7.3f}" for value in row))


def _print_task(run: Run[Trace, TraceResult], json: bool) -> None:
    result = run.result
    if json:
        ends = result.model_dump(include={"clean", "corrupted", "classes"})
        about = {"run_id": run.run_id, "folder": str(run.folder), "n_drawn": result.n_drawn}
        print_json(about | ends | {"seconds": result.timings.seconds})
        return
    clean, corrupted = (end["probability"].mean for end in (result.clean, result.corrupted))
    print(f"{'run':16}{run.folder}\nprobability of the answer: clean {clean:.4f}, corrupted {corrupted:.4f}")
    columns = f"layer by layer{', head by head' * (run.request.trace.state == 'head')}"
    print(f"{'restored':16}average indirect effect, {columns}")
    for name, of_class in result.classes.items():
        effects = of_class.effects["probability"]
        means = [np.nan if effect is None else effect.mean for effect in effects]
        print(f"{name:16}" + " ".join(f"{value:7.3f}" for value in means))
