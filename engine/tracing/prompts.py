"""Prompts for causal tracing, with the tokens of their subject and their answer.

Tokens fall into classes by their position relative to the subject, as in ROME (Meng et al. 2022, 2202.05262,
section 2): first, middle and last token of the subject, the next one after it, further ones, and the last of
the prompt. Every token has at most one class: the token of a one-token subject is its last, and the token
after the subject is the prompt's last if nothing follows. Tokens before the subject have no class, since no
corruption reaches them.
"""

import re
from dataclasses import dataclass, replace

from engine.errors import RequestError
from engine.models.tokens import Tokens
from engine.tasks.base import Pair, Split, tasks
from engine.tasks.facts import facts
from engine.tasks.user_file import is_task_file
from engine.tracing.names import CLASSES, Holdout

SURPLUS = 8  # pairs drawn for each that is wanted, where only some relations are
TRAINED = (
    0.6  # share of the relations that constants are trained on, where relations are held out (the paper's)
)


@dataclass(frozen=True)
class Traced:
    """One prompt, tokenised.

    Attributes:
        subject: position of the subject's first token, and of the token after its last.
        answer: token ids of the answer.
        wrong: token id of the wrong answer, for the logit difference to the answer's first token.
    """

    text: str
    tokens: list[int]
    subject: tuple[int, int]
    answer: list[int]
    wrong: int
    relation: str = ""

    @property
    def length(self) -> int:
        """Number of positions that the model reads: the prompt's, and the answer's but for the last."""
        return len(self.tokens) + max(len(self.answer) - 1, 0)

    def token_class(self, position: int) -> int | None:
        """Return the index in `CLASSES` of the class of the token at a position; None before the subject."""
        first, end = self.subject
        if position < first:
            return None
        if position == len(self.tokens) - 1:
            return CLASSES.index("last")
        if position >= end:
            return CLASSES.index("next" if position == end else "further")
        if position == end - 1:
            return CLASSES.index("last subject")
        return CLASSES.index("first subject" if position == first else "middle subject")


def occurrences(text: str, subject: str) -> list[tuple[int, int]]:
    """Return begin and end of every place where a subject stands in a text.

    Places where it is a word of its own come first and alone; others count only if there is none of these.
    """
    name = re.escape(subject.strip())
    if not name:
        return []
    whole = [match.span() for match in re.finditer(rf"(?<!\w){name}(?!\w)", text)]
    return whole or [match.span() for match in re.finditer(name, text)]


def subject_tokens(
    tokens: Tokens, prompt: str, subject: str, bos: bool | None = None, occurrence: int = 1
) -> tuple[int, int]:
    """Return the position of the subject's first token in a prompt, and of the token after its last.

    A token that holds part of the subject and other text belongs to the subject.

    Args:
        occurrence: which of the `occurrences` of the subject is meant, from 1 on.

    Raises:
        RequestError: the prompt does not contain the subject, or not so often.
    """
    text = tokens.bare(prompt)
    places = occurrences(text, subject)
    if not places:
        near = re.search(re.escape(subject.strip()), text, re.IGNORECASE) if subject.strip() else None
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise RequestError(f"the subject '{subject}' does not stand in the prompt '{prompt}'{hint}")
    if occurrence > len(places):
        times = "once" if len(places) == 1 else f"{len(places)} times"
        raise RequestError(
            f"the subject '{subject}' stands {times} in the prompt '{prompt}': "
            f"there is no occurrence {occurrence}"
        )
    begin, end = places[occurrence - 1]
    offsets = tokens.prompt_offsets(prompt, bos)
    inside = [i for i, (first, last) in enumerate(offsets) if first < end and last > begin]
    return inside[0], inside[-1] + 1


def own_prompt(
    tokens: Tokens,
    prompt: str,
    subject: str,
    answer: str | None,
    wrong: str | None,
    bos: bool | None,
    occurrence: int = 1,
) -> Traced:
    """Return a prompt that a user typed; an answer that is None is left empty, to be filled by the model.

    Args:
        occurrence: as in `subject_tokens`.

    Raises:
        RequestError: the subject is not in the prompt, the answer is empty or changes the prompt's tokens, or
            prompt and answer are longer than the context.
    """
    span = subject_tokens(tokens, prompt, subject, bos, occurrence)
    ids = tokens.prompt_ids(prompt, bos)
    answers = [] if answer is None else _continuation(tokens, prompt, answer)
    wrongs = [-1] if wrong is None else _continuation(tokens, prompt, wrong)
    traced = Traced(prompt, ids, span, answers, wrongs[0])
    if traced.length > tokens.shape.n_ctx:
        raise RequestError(
            f"prompt and answer take {traced.length} positions; the model's context is {tokens.shape.n_ctx}"
        )
    return traced


def notes_on(tokens: Tokens, traced: Traced, subject: str, occurrence: int) -> list[str]:
    """Return notes on what a user may not have meant: several subjects, and tokens that are only spaces."""
    notes: list[str] = []
    if (n := len(occurrences(tokens.bare(traced.text), subject))) > 1:
        notes.append(f"'{subject}' stands {n} times in the prompt; occurrence {occurrence} is the subject")
    if tokens.ends_in_space(traced.text):
        notes.append("the prompt ends in a space, which is a token of its own")
    for name, token in (("answer", traced.answer[0]), ("wrong answer", traced.wrong)):
        if tokens.is_space(token):
            notes.append(f"the {name} begins with a token that is only a space; its logit is of that token")
    return notes


def task_prompts(
    task: str, tokens: Tokens, split: Split, n: int, seed: int, holdout: Holdout, bos: bool | None = None
) -> list[Traced]:
    """Return up to `n` prompts of one split of a task whose prompts are about subjects.

    Args:
        holdout: what distinguishes test from train split: "random": templates of the same facts; "relations":
            whole relations, none of which is in both.

    Raises:
        RequestError: the task is unknown or names no subjects.
    """
    if is_task_file(task):
        raise RequestError(f"task file '{task}' names no subjects; trace a prompt of your own, or 'facts'")
    drawn = tasks.get(task).pairs(tokens, split, n * (SURPLUS if holdout == "relations" else 1), seed)
    if not all(pair.subject for pair in drawn) or not drawn:
        raise RequestError(f"the prompts of task '{task}' name no subjects; those of 'facts' do")
    if holdout == "relations":
        trained = _trained_relations(task, tokens)
        drawn = [pair for pair in drawn if (pair.relation in trained) == (split == "train")]
    return [_traced(tokens, pair, bos) for pair in drawn[:n]]


def subject_tokens_of_facts(tokens: Tokens) -> list[int]:
    """Return the tokens of all subjects of the task "facts", concatenated."""
    names = sorted({fact.subject for fact in facts()})
    return [token for name in names for token in tokens.encode(f" {name}")]


def _trained_relations(task: str, tokens: Tokens) -> set[str]:
    """Return the relations that constants are trained on if relations are held out."""
    names = sorted({pair.relation for pair in tasks.get(task).pairs(tokens, "train", 2000, 0)})
    return set(names[: round(TRAINED * len(names))])


def _traced(tokens: Tokens, pair: Pair, bos: bool | None) -> Traced:
    traced = own_prompt(tokens, pair.clean, pair.subject, pair.answers[0], pair.wrong_answers[0], bos)
    return replace(traced, relation=pair.relation)


def _continuation(tokens: Tokens, prompt: str, answer: str) -> list[int]:
    """Return the tokens that an answer adds to a prompt.

    Raises:
        RequestError: the answer adds none, or changes the prompt's tokens.
    """
    if not (added := tokens.continuation_ids(prompt, answer)):
        hint = tokens.answer_hint(prompt, answer, several=True)
        raise RequestError(f"the answer {answer!r} does not continue the prompt token by token{hint}")
    return added
