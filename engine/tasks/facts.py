"""Factual recall: capitals, languages, continents, authors, inventors, composers, currencies, symbols.

Every fact is asked in several templates; the splits hold out templates of a fact, not facts.
"""

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from random import Random

from engine.tasks.base import Pair, Split, Task, Words, tasks
from engine.tasks.draw import data, draw_pairs, one_token, require, split_of

LEAST_FACTS = 20


@dataclass(frozen=True)
class Fact:
    """One fact in one template."""

    relation: str
    template: str
    subject: str
    answer: str
    split: Split

    @property
    def prompt(self) -> str:
        """The question, to be followed by a space and the answer."""
        return self.template.format(subject=self.subject)


def _split(subject: str, template: str) -> Split:
    return split_of("facts", subject, template, train=0.7, validation=0.1)


@cache
def facts() -> tuple[Fact, ...]:
    """Return every fact in every template; 70 % are for training, so that each fact is seen in several."""
    return tuple(
        Fact(relation, template, subject, answer, _split(subject, template))
        for relation, entry in data("facts").items()
        for template in entry["templates"]
        for answer, subjects in entry["subjects_of"].items()
        for subject in subjects
    )


@tasks.register("facts")
class FactualRecall(Task):
    """The corrupt prompt asks the same about another subject of equal length; its answer is the wrong one."""

    title = "Facts"
    description = "Recall of real facts: 'The capital of France is' → ' Paris'."

    def pairs(self, words: Words, split: Split, n: int, seed: int) -> list[Pair]:
        """A prompt's split is that of its subject and template; without an equal partner it is left out."""
        single_tokens = set(one_token(words, {fact.answer for fact in facts()}))
        total = {(fact.relation, fact.subject) for fact in facts()}
        usable = {(fact.relation, fact.subject) for fact in facts() if fact.answer in single_tokens}
        require("facts", LEAST_FACTS, len(usable), len(total), "facts whose answer is one token")
        alike: dict[tuple[str, int], list[Fact]] = defaultdict(list)
        for fact in facts():
            if fact.split == split and fact.answer in single_tokens:
                alike[fact.template, len(words.encode(fact.prompt))].append(fact)
        choices = [(fact, group) for group in alike.values() for fact in group]

        def draw(rng: Random) -> Pair | None:
            fact, group = rng.choice(choices)
            other = rng.choice(group)
            if other.answer == fact.answer:
                return None
            answers, wrong_answers = (f" {fact.answer}",), (f" {other.answer}",)
            return Pair(
                fact.prompt,
                other.prompt,
                answers,
                wrong_answers,
                fact.template,
                fact.subject,
                fact.relation,
            )

        return draw_pairs(draw, words, n, f"facts-{split}-{seed}") if choices else []
