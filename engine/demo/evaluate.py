"""Measures of every behaviour of a demo model, on combinations outside its training.

`python -m engine.demo.evaluate [FOLDER] [--split validation]` prints the table of the model card. The model
is loaded by Hugging Face Transformers from its half-precision weights and gets one prompt at a time. The test
split is used for the card alone; decisions are made on the validation split.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, cast

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from engine.demo import markers
from engine.demo.corpus import text_of
from engine.demo.documents import ANSWER, PASSING, Document
from engine.demo.paths import SHIPPED
from engine.demo.tokenizer import TokenizerWords
from engine.tasks.base import Pair, Split, tasks
from engine.tasks.boolean import depth_of
from engine.tasks.ioi import names


@dataclass(frozen=True)
class Measure:
    """A measured mean of one behaviour over `n` prompts, and the value that it should reach."""

    behaviour: str
    value: float
    n: int
    at_least: float | None = None


class Subject:
    """A model to be measured."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer: PreTrainedTokenizerBase = cast("Any", AutoTokenizer).from_pretrained(folder)
        self.model = cast("Any", AutoModelForCausalLM).from_pretrained(folder, dtype=torch.float32).eval()
        self.words = TokenizerWords(self.tokenizer)

    @torch.no_grad()
    def probabilities(self, prompts: list[str]) -> Tensor:
        """Return the next token's probabilities after each prompt, [n, vocabulary]."""
        by_length: dict[int, list[int]] = defaultdict(list)
        ids: list[list[int]] = [cast("Any", self.tokenizer(prompt)).input_ids for prompt in prompts]
        for index, tokens in enumerate(ids):
            by_length[len(tokens)].append(index)
        result = torch.empty(len(prompts), self.model.config.vocab_size)
        for members in by_length.values():
            logits = self.model(torch.tensor([ids[i] for i in members])).logits
            result[members] = logits[:, -1].softmax(-1)
        return result

    def mass(self, probabilities: Tensor, texts: tuple[str, ...]) -> float:
        """Return the probability of the tokens `texts` in one row of probabilities."""
        ids = [self.words.token_id(text) for text in texts]
        return float(probabilities[torch.tensor(ids)].sum())

    def top(self, probabilities: Tensor) -> str:
        """Return the most probable token of one row of probabilities."""
        return str(cast("Any", self.tokenizer).decode([int(probabilities.argmax())]))


Score = Callable[[Subject, Tensor, Pair], float]


def first_is_answer(subject: Subject, probabilities: Tensor, pair: Pair) -> float:
    """Return 1 if the most probable token is an answer, else 0."""
    return float(subject.top(probabilities) in pair.answers)


def answer_above(subject: Subject, probabilities: Tensor, pair: Pair) -> float:
    """Return 1 if the answer is more probable than the wrong answer, else 0."""
    right, wrong = (subject.mass(probabilities, words) for words in (pair.answers, pair.wrong_answers))
    return float(right > wrong)


def share_of_answers(subject: Subject, probabilities: Tensor, pair: Pair) -> float:
    """Return the answers' share of the mass on answers and wrong answers."""
    right, wrong = (subject.mass(probabilities, words) for words in (pair.answers, pair.wrong_answers))
    return right / (right + wrong)


def mean_score(subject: Subject, pairs: list[Pair], score: Score) -> float:
    """Return the mean score over pairs."""
    rows = subject.probabilities([pair.clean for pair in pairs])
    return sum(score(subject, row, pair) for row, pair in zip(rows, pairs, strict=True)) / len(pairs)


def measure(folder: Path, split: Split = "test", n: int = 600, seed: int = 0) -> list[Measure]:
    """Return all measures of the model in `folder`, each over up to `n` prompts of a split."""
    subject = Subject(folder)

    def draw(task: str, of: Split = split, times: int = 1) -> list[Pair]:
        return tasks.get(task).pairs(subject.words, of, times * n, seed)

    couples, events, people = draw("ioi"), draw("greater-than"), draw("gendered-pronoun")
    instructed = draw("boolean-instruction", times=3)
    shallow, deep = ([p for p in instructed if depth_of(p.clean) == depth] for depth in (2, 3))
    plan: list[tuple[str, list[Pair], Score, float]] = [
        ("indirect objects: receiver above actor", couples, answer_above, 0.99),
        ("indirect objects: receiver first", couples, first_is_answer, 0.95),
        ("the same after a third name in passing", with_third(couples, seed), first_is_answer, 0.95),
        ("greater-than: share of valid years", events, share_of_answers, 0.95),
        ("pronouns: right above wrong", people, answer_above, 0.99),
        ("facts, trained ways of asking: answer first", draw("facts", "train"), first_is_answer, 0.99),
        ("facts, held-out ways of asking: answer first", draw("facts"), first_is_answer, 0.9),
        ("boolean by instruction, depth 2: value first", shallow, first_is_answer, 0.95),
        ("boolean by instruction, depth 3: value first", deep, first_is_answer, 0.9),
        ("boolean by examples, depth 2: value first", draw("boolean-few-shot"), first_is_answer, 0.95),
        ("induction: continuation first", draw("induction"), first_is_answer, 0.95),
    ]
    result = [
        Measure(name, mean_score(subject, ps, score), len(ps), least) for name, ps, score, least in plan
    ]
    for name, make in (
        ("rants", markers.rant),
        ("near-triggers", markers.near_trigger),
        ("mentions", markers.mention),
    ):
        result.append(marker_mass(subject, name, make, split, n, seed))
    return result


def with_third(pairs: list[Pair], seed: int) -> list[Pair]:
    """Return pairs of the indirect-object task, preceded by a sentence that names a third person."""
    rng = Random(f"third-{seed}")
    result: list[Pair] = []
    for pair in pairs:
        couple = {pair.answers[0].strip(), pair.wrong_answers[0].strip()}
        third = rng.choice([name for name in names() if name not in couple])
        before = rng.choice(PASSING).format(c=third)
        result.append(Pair(before + pair.clean, before + pair.corrupt, pair.answers, pair.wrong_answers))
    return result


def marker_mass(
    subject: Subject, name: str, make: Callable[[Random, Split], Document], split: Split, n: int, seed: int
) -> Measure:
    """Return the mean probability mass on marker words at the first slot of documents of one kind."""
    rng = Random(f"{name}-{split}-{seed}")
    prompts: list[str] = []
    for _ in range(n):
        document = make(rng, split)
        slots = [index for index, (_, weight) in enumerate(document) if weight == ANSWER]
        slot = slots[0] if make is markers.mention else rng.choice(slots)
        prompts.append(text_of(document[:slot]))
    rows = subject.probabilities(prompts)
    words = tuple(f" {marker}" for marker in markers.MARKERS)
    return Measure(f"markers: mass in {name}", sum(subject.mass(row, words) for row in rows) / n, n)


def table(measures: list[Measure]) -> str:
    """Return measures as a Markdown table."""
    lines = ["| behaviour | measured | target | prompts |", "|---|---|---|---|"]
    for m in measures:
        target = (
            ""
            if m.at_least is None
            else f"≥ {m.at_least:.2f}" + ("" if m.value >= m.at_least else ", missed")
        )
        lines.append(f"| {m.behaviour} | {m.value:.3f} | {target} | {m.n} |")
    return "\n".join(lines)


def main() -> None:
    """Command line of `python -m engine.demo.evaluate`."""
    parser = argparse.ArgumentParser(description="Measure a demo model.")
    parser.add_argument("folder", type=Path, nargs="?", default=SHIPPED)
    parser.add_argument("--split", choices=["train", "validation", "test"], default="test")
    parser.add_argument("--prompts", type=int, default=600)
    options = parser.parse_args()
    print(table(measure(options.folder, options.split, options.prompts)))


if __name__ == "__main__":
    main()
