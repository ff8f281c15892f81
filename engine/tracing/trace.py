"""Carry out a request of kind "trace": a prompt token by token, or a task by classes of tokens."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.errors import RequestError
from engine.findings import Found
from engine.metrics import estimate
from engine.models import Model
from engine.models.load import load_tokens
from engine.models.tokens import Tokens
from engine.models.transformer import Transformer
from engine.progress import Report, part_of, silent
from engine.runs.request import Request, State, Trace
from engine.runs.store import RunStore
from engine.settings import parse_settings
from engine.tasks.base import Split
from engine.tracing.base import Corrupter, TraceProblem, corruptions
from engine.tracing.cells import (
    METRICS,
    Group,
    alike,
    answer_values,
    cell_values,
    make_group,
    most_bases,
)
from engine.tracing.effects import average_effects, concentration, recovered_shares
from engine.tracing.prompts import CLASSES, Traced, own_prompt, subject_tokens_of_facts, task_prompts
from engine.tracing.restoration import states

EVALUATION_SEED = 0  # of the prompts traced, so that runs of different seeds are about the same


@dataclass(frozen=True)
class Traces:
    """What the answer of one prompt is worth, as in `METRICS`; C columns are layers, or heads layer by layer.

    Attributes:
        restored: [S, C, versions of a cell, 3], for every token of the prompt.
        bare: the same with nothing restored, in the versions of the cell.
        corrupted: [versions, 3], with nothing restored, in the versions that go with that.
        clean: [3].
    """

    prompt: Traced
    restored: np.ndarray
    bare: np.ndarray
    corrupted: np.ndarray
    clean: np.ndarray

    @property
    def effects(self) -> np.ndarray:
        """Indirect effects, [S, C, versions, 3]: with the same noise, or the same constant, restored and not,
        so that a state that matters nothing has none."""
        return self.restored - self.bare


def trace(model: Model, request: Request, store: RunStore, report: Report) -> Found:
    """Return what a trace finds.

    Raises:
        RequestError: the prompt, its subject or its answer cannot be used, or the model knows no answer.
    """
    asked = request.trace
    assert asked is not None
    if asked.prompt is None:
        drawn = _drawn(model, request, "test", request.n_prompts)
        prompts = known(model.transformer, drawn)
        if not prompts:
            raise RequestError(
                f"'{request.model}' knows none of {len(drawn)} answers of task '{request.task}'"
            )
    else:
        drawn = prompts = [_own(model, asked, request.bos)]
    corrupter, history = _corrupter(model, request, store, part_of(report, 2, 70, 100))
    longest = max(prompt.length for prompt in prompts)
    parts = alike(prompts, max(1, most_bases(model.transformer, longest) // corrupter.n_versions))
    found: list[Traces] = []
    begin = 70 if history else 2
    for done, some in enumerate(parts):
        first, last = (round(begin + (99 - begin) * part / len(parts)) for part in (done, done + 1))
        within = part_of(report, first, last, 100, f"prompt {len(found) + 1} of {len(prompts)}: ")
        group = make_group(model.transformer, some)
        found += traces(model.transformer, group, corrupter, asked.state, asked.window, within)
    tensors = corrupter.tensors()
    about = {"n_drawn": len(drawn), "n_heads": model.shape.n_heads}
    if asked.prompt is not None:
        result, more = _of_prompt(model, found[0])
        return Found(result | about, tensors | more, history=history)
    result, more = _of_task(model, found, request)
    note = f"{len(prompts)} of the {len(drawn)} prompts drawn are traced: those whose answer the model knows"
    return Found(result | about, tensors | more, history=history, notes=[note])


@torch.no_grad()
def traces(
    transformer: Transformer,
    group: Group,
    corrupter: Corrupter,
    state: State,
    window: int,
    report: Report = silent,
) -> Iterator[Traces]:
    """Yield what the answers of a group of prompts are worth in every cell.

    Tokens before the subject are the same corrupted as clean, so restoring them changes nothing.
    """
    n, heads = corrupter.n_versions, transformer.shape.n_heads if state == "head" else 1
    grids = [
        _cells(i, prompt, corrupter, transformer.shape.n_layers, heads)
        for i, prompt in enumerate(group.prompts)
    ]
    cells = torch.cat([grid.flatten(0, -2) for grid in grids])
    bare = np.empty((len(group.prompts), n, len(METRICS)), np.float32)
    values = np.empty((len(cells), len(METRICS)), np.float32)
    # All versions at once, but for a prompt so long that its own do not fit.
    most = max(1, most_bases(transformer, group.length) // len(group.prompts))
    for begin in range(0, n, most):
        end = min(begin + most, n)
        streams = corrupter.streams(group.prompts, group.clean.streams[0], range(begin, end))
        corrupted = states(transformer, streams.flatten(0, 1))
        answers, wrong = (x.repeat_interleave(end - begin, 0) for x in (group.answers, group.wrong))
        found = answer_values(transformer, corrupted.end, answers, wrong)
        bare[:, begin:end] = found.view(-1, end - begin, len(METRICS)).cpu().numpy()
        here = (cells[:, 1] >= begin) & (cells[:, 1] < end)
        if not bool(here.any()):  # versions of classes that no prompt has, or of nothing restored
            continue
        some = cells[here]
        some[:, 1] -= begin
        within = part_of(report, begin, end, n)
        found = cell_values(transformer, group, corrupted, some, end - begin, state, window, within)
        values[here.numpy()] = found.cpu().numpy()
    bares, done = bare[cells[:, 0].numpy(), cells[:, 1].numpy()], 0
    for i, (prompt, grid) in enumerate(zip(group.prompts, grids, strict=True)):
        nothing, first = bare[i, list(corrupter.versions(None, None))], prompt.subject[0]
        here = slice(done, done + grid[..., 0].numel())
        done = here.stop
        whole = []
        for some in (values, bares):
            own = np.tile(nothing, (len(prompt.tokens), grid.shape[1] * heads, 1, 1))
            own[first:] = some[here].reshape(*own[first:].shape)
            whole.append(own)
        yield Traces(prompt, whole[0], whole[1], nothing, group.values[i].cpu().numpy())


def _cells(i: int, prompt: Traced, corrupter: Corrupter, n_layers: int, n_heads: int) -> Tensor:
    """Return the cells of a prompt of a group, [tokens from the subject on, L, H, versions of a cell, 5]."""
    positions = torch.arange(prompt.subject[0], len(prompt.tokens))
    versions = torch.tensor(
        [
            [list(corrupter.versions(prompt.token_class(position), layer)) for layer in range(n_layers)]
            for position in positions.tolist()
        ]
    )
    shape = (len(positions), n_layers, n_heads, versions.shape[-1])
    fields = (
        torch.tensor(i),
        versions.unsqueeze(2),
        positions.view(-1, 1, 1, 1),
        torch.arange(n_layers).view(-1, 1, 1),
        torch.arange(n_heads).view(-1, 1),
    )
    return torch.stack([field.expand(shape) for field in fields], -1)


def known(transformer: Transformer, prompts: list[Traced]) -> list[Traced]:
    """Return the prompts whose answer the model gives, token by token, in the order they came in."""
    knows: set[int] = set()
    longest = max((prompt.length for prompt in prompts), default=1)
    for some in alike(prompts, most_bases(transformer, longest)):
        group = make_group(transformer, some)
        with torch.no_grad():
            said = transformer.unembed(group.clean.end[:, -group.answers.shape[1] :]).argmax(-1)
        right = (said == group.answers).all(1).tolist()
        knows |= {id(prompt) for prompt, known in zip(some, right, strict=True) if known}
    return [prompt for prompt in prompts if id(prompt) in knows]


def before_trace(request: Request, store: RunStore) -> Request | None:
    """Return the request that has to be carried out first: that of the task, where a corruption trained on it
    serves a prompt; None where there is none.

    Raises:
        RequestError: the prompt, its subject or its answer cannot be used.
    """
    if (first := task_trace(request)) is not None:
        assert request.trace is not None
        _typed(load_tokens(request.model), request.trace, request.bos)
    return first


def task_trace(request: Request) -> Request | None:
    """Return the request of the task whose trained corruption serves a prompt; None where there is none."""
    assert request.trace is not None
    if request.trace.prompt is None or not corruptions.get(request.ablation).trained:
        return None
    plain = {"prompt": None, "subject": None, "answer": None, "wrong_answer": None}
    return request.model_copy(update={"trace": request.trace.model_copy(update=plain)})


def _corrupter(
    model: Model, request: Request, store: RunStore, report: Report
) -> tuple[Corrupter, dict[str, list[float]]]:
    asked, corruption = request.trace, corruptions.get(request.ablation)
    assert asked is not None
    if (whole := task_trace(request)) is not None:
        return corruption.kept(model.transformer, store.get(whole.run_id()).tensors), {}
    problem = TraceProblem(
        model.transformer,
        lambda n: known(model.transformer, _drawn(model, request, "train", n)),
        subject_tokens_of_facts(model),
        asked.state,
        asked.window,
        request.seed,
    )
    settings = parse_settings(corruption.Settings, request.ablation_settings)
    return corruption.prepare(problem, settings, report)


def _drawn(model: Model, request: Request, split: Split, n: int) -> list[Traced]:
    assert request.trace is not None
    seed = request.seed if split == "train" else EVALUATION_SEED
    return task_prompts(request.task, model, split, n, seed, request.trace.holdout, request.bos)


def _typed(tokens: Tokens, asked: Trace, bos: bool | None) -> Traced:
    assert asked.prompt is not None
    assert asked.subject is not None
    return own_prompt(tokens, asked.prompt, asked.subject, asked.answer, asked.wrong_answer, bos)


def _own(model: Model, asked: Trace, bos: bool | None) -> Traced:
    """Return the user's prompt; the model's first choice is the answer, and its next the wrong one, if none
    was typed."""
    prompt = _typed(model, asked, bos)
    transformer = model.transformer
    tokens = torch.tensor([prompt.tokens], device=model.device)
    with torch.no_grad():
        best = transformer.finish(transformer.embed(tokens), 0)[0].topk(2).indices.tolist()
    answer = prompt.answer or best[:1]
    wrong = prompt.wrong if asked.wrong_answer is not None else next(i for i in best if i != answer[0])
    return replace(prompt, answer=answer, wrong=wrong)


def _of_prompt(model: Model, found: Traces) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    # The interval of the corrupted values is over draws.
    ends = {"clean": _estimates(found.clean[None]), "corrupted": _estimates(found.corrupted)}
    result = {"traced": [_said(model, found.prompt)], **ends, "classes": {}}
    arrays = {"effects": found.effects, "restored": found.restored}
    return result, {name: array.astype(np.float32) for name, array in arrays.items()}


def _of_task(
    model: Model, found: list[Traces], request: Request
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    clean = np.stack([one.clean for one in found])
    corrupted = np.stack([one.corrupted.mean(0) for one in found])
    # [n, classes, C, 3]
    restored = np.stack([_by_class(one.prompt, one.restored) for one in found])
    effects = np.stack([_by_class(one.prompt, one.effects) for one in found])
    classes = class_summaries(clean, corrupted, restored, effects)
    result = {
        "traced": [_said(model, one.prompt) for one in found],
        "classes": classes,
        "clean": _estimates(clean),
        "corrupted": _estimates(corrupted),
    }
    arrays = {"effects": effects, "clean": clean, "corrupted": corrupted}
    return result, {name: array.astype(np.float32) for name, array in arrays.items()}


def class_summaries(
    clean: np.ndarray, corrupted: np.ndarray, restored: np.ndarray, effects: np.ndarray
) -> dict[str, Any]:
    """Return what a result says of every class of token.

    Args:
        clean, corrupted: [n_prompts, 3].
        restored, effects: [n_prompts, classes, C, 3]; nan where a prompt has no such token.
    """
    lost = np.clip(clean[:, None, None, 0] - restored[..., 0], 0, None)
    bare = np.clip(clean[:, 0] - corrupted[:, 0], 0, None)
    return {
        name: {
            "effects": {
                metric: average_effects(effects[:, i, :, j], EVALUATION_SEED)
                for j, metric in enumerate(METRICS)
            },
            "share": recovered_shares(lost[:, i], bare),
            # The shape of the shares: what they are divided by is the same for all layers.
            "concentration": concentration(bare[:, None] - lost[:, i], EVALUATION_SEED),
        }
        for i, name in enumerate(CLASSES)
    }


def _by_class(prompt: Traced, values: np.ndarray) -> np.ndarray:
    """Return the mean over draws and over the tokens of each class, [classes, C, 3], of values
    [S, C, versions, 3]; nan where there is no such token."""
    means_of = values.mean(2)
    of = [prompt.token_class(position) for position in range(len(values))]
    means = np.full((len(CLASSES), *means_of.shape[1:]), np.nan)
    for i in {one for one in of if one is not None}:
        means[i] = means_of[[one == i for one in of]].mean(0)
    return means


def _estimates(values: np.ndarray) -> dict[str, Any]:
    return {metric: estimate(values[:, i].astype(float), EVALUATION_SEED) for i, metric in enumerate(METRICS)}


def _said(model: Model, prompt: Traced) -> dict[str, Any]:
    """Return what a result says of a prompt that was traced."""
    classes = [prompt.token_class(position) for position in range(len(prompt.tokens))]
    return {
        "text": prompt.text,
        "tokens": model.token_strings(prompt.tokens),
        "subject": list(prompt.subject),
        "classes": [None if one is None else CLASSES[one] for one in classes],
        "answer": "".join(model.token_strings(prompt.answer)),
        "wrong_answer": model.token_strings([prompt.wrong])[0],
        "relation": prompt.relation,
    }
