"""Pairs of prompts for a model: tokenised, checked, with answers as token ids.

Prompts of different lengths stay apart: a batch has one length, and nothing is ever padded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from engine.errors import RequestError
from engine.models.model import Model
from engine.models.tokens import Tokens
from engine.tasks.base import Metric, Pair, Split, tasks
from engine.tasks.forms import FilePair
from engine.tasks.own_pair import OwnPair
from engine.tasks.user_file import is_task_file, read_pairs, split_pairs

LEAST_LEFT = 10  # prompts of a file, if some of its pairs are left out
SEEN = 2000  # prompts that are drawn to see a task's templates
SURPLUS = 8  # prompts drawn for each that is wanted, where only some templates are

AnyPair = Pair | FilePair | OwnPair


@dataclass(frozen=True)
class Prompt:
    """One pair, tokenised; clean and corrupt have the same length."""

    clean: str
    corrupt: str
    clean_ids: list[int]
    corrupt_ids: list[int]
    answers: list[int]
    wrong_answers: list[int]


@dataclass(frozen=True)
class Prompts:
    """The prompts of one split of a task, for one model."""

    items: list[Prompt]
    metric: Metric
    notes: list[str] = field(default_factory=list[str])

    def batches(self, size: int, seed: int | None = None) -> list[list[int]]:
        """Return batches of at most `size` prompts of equal length, as lists of indices into `items`.

        Batches of one length are of nearly equal size. With a `seed` their composition is shuffled.
        """
        by_length: dict[int, list[int]] = {}
        for index, prompt in enumerate(self.items):
            by_length.setdefault(len(prompt.clean_ids), []).append(index)
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        batches: list[list[int]] = []
        for _, members in sorted(by_length.items()):
            if generator is not None:
                members = [members[i] for i in torch.randperm(len(members), generator=generator)]
            count = -(-len(members) // size)
            batches += [members[i::count] for i in range(count)]
        return batches

    def tokens(self, indices: list[int], device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the clean and corrupt tokens of prompts of equal length, two of [B, S]."""
        clean = [self.items[i].clean_ids for i in indices]
        corrupt = [self.items[i].corrupt_ids for i in indices]
        return torch.tensor(clean, device=device), torch.tensor(corrupt, device=device)


def check_task(task: str) -> None:
    """Check that a task exists, without a model.

    Raises:
        RequestError: unknown name (with the nearest), or a broken file.
    """
    if is_task_file(task):
        read_pairs(Path(task))
    else:
        tasks.get(task)


def load_prompts(
    task: str,
    model: Model,
    split: Split,
    n: int,
    seed: int,
    bos: bool | None = None,
    held_out: Sequence[str] = (),
) -> Prompts:
    """Return up to `n` prompts of a split of a shipped task or of a user's task file.

    Args:
        task: a task's name, or the path of a file.
        bos: as in `Model.prompt_ids`.
        held_out: templates that the train split leaves out, and of which alone the other splits are made.

    Raises:
        RequestError: unknown task, broken file, too many pairs that the model cannot use (`tokenise`), or an
            empty split.
    """
    if is_task_file(task):
        if held_out:
            raise RequestError(f"task file '{task}' names no templates, so none can be held out")
        return _file_prompts(task, model, split, n, bos)
    registered = tasks.get(task)
    if held_out:
        drawn = registered.pairs(model, split, SURPLUS * n, seed)
        pairs = [pair for pair in drawn if (pair.template in held_out) == (split != "train")][:n]
    else:
        pairs = registered.pairs(model, split, n, seed)
    if not pairs:
        raise _empty(task, split)
    items = [tokenise(model, f"task '{task}', prompt {pair.clean!r}", pair, bos) for pair in pairs]
    note = registered.note(model)
    return Prompts(items, registered.metric, [] if note is None else [note])


def _file_prompts(task: str, model: Model, split: Split, n: int, bos: bool | None) -> Prompts:
    """Return up to `n` prompts of a task file; a few pairs that the model cannot use are left out.

    Raises:
        RequestError: broken file, empty split, or fewer than `LEAST_LEFT` or half of the pairs can be used.
    """
    pairs, whole = split_pairs(read_pairs(Path(task)), split)
    if not pairs:
        raise _empty(task, split)
    items: list[Prompt] = []
    unusable: list[RequestError] = []
    for pair in pairs:
        if len(items) == n:
            break
        try:
            items.append(tokenise(model, f"task file '{task}', line {pair.line}", pair, bos))
        except RequestError as error:
            unusable.append(error)
    if unusable and len(items) < max(LEAST_LEFT, len(unusable)):
        raise unusable[0]
    notes = [] if whole is None else [whole]
    if unusable:
        of = len(items) + len(unusable)
        notes.append(f"{len(unusable)} of {of} pairs are left out. The first: {unusable[0]}")
    if repeated := len(items) - len({(item.clean, item.corrupt) for item in items}):
        notes.append(f"{repeated} of {len(items)} pairs of '{task}' are repetitions, and count as others do")
    notes += _answer_notes(model, pairs[0], items[0])
    return Prompts(items, pairs[0].metric, notes + _space_notes(model, items))


def _empty(task: str, split: Split) -> RequestError:
    return RequestError(f"task '{task}' has no prompts in its {split} split for this model")


def _space_notes(tokens: Tokens, items: list[Prompt]) -> list[str]:
    """Return a note if prompts end in a space, which is a token of its own there."""
    n = sum(tokens.ends_in_space(text) for item in items for text in (item.clean, item.corrupt))
    return [f"{n} of {2 * len(items)} prompts end in a space, which is a token of its own"] if n else []


def templates(task: str, tokens: Tokens) -> list[str]:
    """Return the templates of a task for a model, sorted; [] for a task file or a task with one template."""
    if is_task_file(task):
        return []
    wordings = {pair.template for pair in tasks.get(task).pairs(tokens, "train", SEEN, 0)}
    return sorted(wordings) if len(wordings) > 1 else []


def own_prompts(task: str, model: Model, pairs: Sequence[AnyPair], bos: bool | None = None) -> Prompts:
    """Return the prompts of pairs that a user typed, with the metric of `task`.

    Raises:
        RequestError: as for a task file; the message says which pair.
    """
    metric: Metric = read_pairs(Path(task))[0].metric if is_task_file(task) else tasks.get(task).metric
    items = [tokenise(model, f"pair {i}", pair, bos) for i, pair in enumerate(pairs, 1)]
    return Prompts(items, metric, _space_notes(model, items))


def tokenise(tokens: Tokens, where: str, pair: AnyPair, bos: bool | None = None) -> Prompt:
    """Return a pair as token ids.

    Args:
        tokens: tokenizer and sizes of the model.
        where: name of the pair in error messages.
        bos: as in `Tokens.prompt_ids`.

    Raises:
        RequestError: equal prompts, unequal length, longer than the context, an answer that is not one token
            or is a wrong answer as well.
    """
    clean, corrupt = tokens.prompt_ids(pair.clean, bos), tokens.prompt_ids(pair.corrupt, bos)
    some = first = False
    if isinstance(pair, FilePair):
        some, first = pair.some, pair.first
        corrupt = corrupt[: len(clean)] if pair.corrupt_is_longer else corrupt
    if clean == corrupt:
        raise RequestError(f"{where}: clean and corrupt prompt are the same, so nothing tells them apart")
    if len(clean) != len(corrupt):
        raise RequestError(
            f"{where}: clean has {len(clean)} tokens, corrupt {len(corrupt)}; they must be equally long"
            f"{_unequal_words(tokens, pair)}"
        )
    if len(clean) > tokens.shape.n_ctx:
        raise RequestError(f"{where}: {len(clean)} tokens, but the model's context is {tokens.shape.n_ctx}")
    answers = _answer_ids(tokens, where, pair.clean, pair.answers, some, first)
    wrong = [
        token
        for token in _answer_ids(tokens, where, pair.clean, pair.wrong_answers, some, first)
        if not (first and token in answers)
    ]
    if not wrong:
        raise RequestError(f"{where}: all wrong answers begin with the token of the answer")
    if both := set(answers) & set(wrong):
        text = tokens.text_of([min(both)])
        raise RequestError(f"{where}: {text!r} is among the answers and among the wrong answers")
    return Prompt(pair.clean, pair.corrupt, clean, corrupt, answers, wrong)


def _unequal_words(tokens: Tokens, pair: AnyPair) -> str:
    """Return the first two words that differ in their number of tokens, as the end of a message."""
    clean, corrupt = pair.clean.split(), pair.corrupt.split()
    if len(clean) != len(corrupt):
        return ""
    for words in zip(clean, corrupt, strict=True):
        first, second = (len(tokens.encode(f" {word}")) for word in words)
        if first != second:
            return f" ({words[0]!r} takes {first}, {words[1]!r} {second})"
    return ""


def _answer_ids(
    tokens: Tokens,
    where: str,
    prompt: str,
    answers: Sequence[str] | Sequence[int],
    some: bool = False,
    first: bool = False,
) -> list[int]:
    """Return the token ids of answers to a prompt.

    Args:
        some: whether answers that are not one token are left out; at least one must be left.
        first: whether the first token of an answer is enough.

    Raises:
        RequestError: an answer is outside the vocabulary, or not one token.
    """
    ids: list[int] = []
    refused = ""
    for answer in answers:
        if isinstance(answer, int):
            if not 0 <= answer < tokens.shape.d_vocab:
                raise RequestError(
                    f"{where}: token id {answer} is outside the vocabulary of {tokens.shape.d_vocab}: "
                    "is it of another model's tokenizer?"
                )
            ids.append(answer)
        elif (token := tokens.answer_id(prompt, answer)) is not None:
            ids.append(token)
        elif first and (added := tokens.continuation_ids(prompt, answer)):
            ids.append(added[0])
        else:
            hint = tokens.answer_hint(prompt, answer)
            refused = refused or f"{where}: the answer {answer!r} is not one token of this model{hint}"
            if not some:
                raise RequestError(refused)
    if not ids and refused:
        raise RequestError(refused)
    return list(dict.fromkeys(ids))


def _answer_notes(tokens: Tokens, pair: FilePair, prompt: Prompt) -> list[str]:
    """Return notes on the answers of a file, by the example of its first pair.

    Raises:
        RequestError: the answers are token ids of another tokenizer, by all appearance.
    """
    if pair.first:
        return [
            "wrong answers are those of the other prompts of the file; of an answer of several tokens the "
            "first one counts"
        ]
    if not isinstance(pair.answers[0], int):
        return []
    right, wrong = (tokens.text_of(ids[:1]) for ids in (prompt.answers, prompt.wrong_answers))
    said = f"the token ids of the first pair stand for {right!r} as answer, and {wrong!r} as wrong answer"
    if not any(character.isalnum() for character in right + wrong):
        raise RequestError(f"{said}: they are of another model's tokenizer")
    return [said]
