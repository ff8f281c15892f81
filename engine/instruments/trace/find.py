"""The findings of a trace: of a prompt by token, or of a task by class of tokens."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from engine.errors import RequestError
from engine.instruments.trace.request import Trace, TracePlan
from engine.instruments.trace.summaries import of_prompt, of_task
from engine.models import Model
from engine.models.load import load_tokens
from engine.models.tokens import Tokens
from engine.progress import Report, part_of
from engine.runs.found import Found
from engine.runs.request import Request
from engine.runs.store import RunStore
from engine.settings import parse_settings
from engine.tasks.base import Split
from engine.tensors import integers
from engine.tracing.base import Corrupter, TraceProblem, corruptions
from engine.tracing.cells import alike, make_group, most_bases
from engine.tracing.prompts import Traced, notes_on, own_prompt, subject_tokens_of_facts, task_prompts
from engine.tracing.traces import Traces, known, traces
from engine.workbench.ready import Workbench

EVALUATION_SEED = 0  # of the prompts traced, so that runs of different seeds are about the same


def trace(asked: Trace, bench: Workbench, report: Report) -> Found:
    """Return the findings of a trace.

    Raises:
        RequestError: the prompt, its subject or its answer cannot be used, or the model knows no answer.
    """
    model, plan = bench.model, asked.trace
    if plan.prompt is None:
        drawn = _drawn(model, asked, "test", asked.n_prompts)
        prompts = known(model.transformer, drawn)
        if not prompts:
            raise RequestError(f"'{asked.model}' knows none of {len(drawn)} answers of task '{asked.task}'")
    else:
        drawn = prompts = [_own(model, plan, asked.bos)]
    corrupter, history = _corrupter(model, asked, bench.store, part_of(report, 2, 70, 100))
    longest = max(prompt.length for prompt in prompts)
    parts = alike(prompts, max(1, most_bases(model.transformer, longest) // corrupter.n_versions))
    of_prompts: list[Traces] = []
    begin = 70 if history else 2
    for done, part in enumerate(parts):
        first, last = (round(begin + (99 - begin) * step / len(parts)) for step in (done, done + 1))
        within = part_of(report, first, last, 100, f"prompt {len(of_prompts) + 1} of {len(prompts)}: ")
        group = make_group(model.transformer, part)
        of_prompts += traces(model.transformer, group, corrupter, plan.state, plan.window, within)
    tensors: dict[str, np.ndarray] = corrupter.tensors()
    about: dict[str, Any] = {"n_drawn": len(drawn), "n_heads": model.shape.n_heads}
    if plan.prompt is not None:
        result, arrays = of_prompt(model, of_prompts[0], EVALUATION_SEED)
        notes = notes_on(model, prompts[0], plan.subject or "", plan.subject_occurrence)
        return Found(result | about, tensors | arrays, history=history, notes=notes)
    result, arrays = of_task(model, of_prompts, EVALUATION_SEED)
    note = f"{len(prompts)} of the {len(drawn)} prompts drawn are traced: those whose answer the model knows"
    return Found(result | about, tensors | arrays, history=history, notes=[note])


def before_trace(asked: Trace) -> Request | None:
    """Return the request of the task, if a prompt uses a corruption trained on the task; else None.

    Raises:
        RequestError: the prompt, its subject or its answer cannot be used.
    """
    if (first := task_trace(asked)) is not None:
        _typed(load_tokens(asked.model), asked.trace, asked.bos)
    return first


def task_trace(asked: Trace) -> Trace | None:
    """Return the request of the task whose trained corruption a prompt uses; None for other requests."""
    if asked.trace.prompt is None or not corruptions.get(asked.ablation).trained:
        return None
    return asked.of_the_task()


def _corrupter(
    model: Model, asked: Trace, store: RunStore, report: Report
) -> tuple[Corrupter, dict[str, list[float]]]:
    corruption = corruptions.get(asked.ablation)
    if (whole := task_trace(asked)) is not None:
        return corruption.kept(model.transformer, store.get(whole.run_id()).tensors), {}
    problem = TraceProblem(
        model.transformer,
        lambda n: known(model.transformer, _drawn(model, asked, "train", n)),
        subject_tokens_of_facts(model),
        asked.trace.state,
        asked.trace.window,
        asked.seed,
    )
    settings = parse_settings(corruption.Settings, asked.ablation_settings)
    return corruption.prepare(problem, settings, report)


def _drawn(model: Model, asked: Trace, split: Split, n: int) -> list[Traced]:
    seed = asked.seed if split == "train" else EVALUATION_SEED
    return task_prompts(asked.task, model, split, n, seed, asked.trace.holdout, asked.bos)


def _typed(tokens: Tokens, plan: TracePlan, bos: bool | None) -> Traced:
    assert plan.prompt is not None
    assert plan.subject is not None
    answers = plan.answer, plan.wrong_answer
    return own_prompt(tokens, plan.prompt, plan.subject, *answers, bos, plan.subject_occurrence)


def _own(model: Model, plan: TracePlan, bos: bool | None) -> Traced:
    """Return the user's prompt; answers not given are the model's first and next choice."""
    prompt = _typed(model, plan, bos)
    transformer = model.transformer
    tokens = torch.tensor([prompt.tokens], device=model.device)
    with torch.no_grad():
        best = integers(transformer.finish(transformer.embed(tokens), 0)[0].topk(2).indices)
    answer = prompt.answer or best[:1]
    wrong = prompt.wrong if plan.wrong_answer is not None else next(i for i in best if i != answer[0])
    return replace(prompt, answer=answer, wrong=wrong)
