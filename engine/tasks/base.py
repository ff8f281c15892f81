"""The base class of tasks: pairs of prompts, clean and corrupt, with answers at the last position.

A task is one file in this folder with a class derived from `Task`, registered under its name:

    @tasks.register("ioi")
    class IndirectObjects(Task): ...
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from engine.registry import Registry

Split = Literal["train", "validation", "test"]
Metric = Literal["logit_difference", "probability_difference"]


class Words(Protocol):
    """The tokenizer of a model, as far as tasks use it; `engine.models.Model` implements it."""

    def encode(self, text: str) -> list[int]:
        """Return the token ids of `text`, without special tokens."""
        ...

    def token_id(self, text: str) -> int | None:
        """Return the id of `text` (a leading space counts) if it is exactly one token, else None."""
        ...


@dataclass(frozen=True)
class Pair:
    """A clean and a corrupt prompt of equal token length; the answer is the token that follows the clean one.

    `answers` and `wrong_answers` are single tokens of the model, leading space included (" Mary"). `template`
    is the wording of the prompts; it is empty if a task has one wording only. If the answer is a fact,
    `subject` is its subject, as written in the clean prompt, and `relation` is the relation of the answer to
    the subject.
    """

    clean: str
    corrupt: str
    answers: tuple[str, ...]
    wrong_answers: tuple[str, ...]
    template: str = ""
    subject: str = ""
    relation: str = ""


class Task(ABC):
    """Base class of tasks, which make pairs of prompts for one behaviour.

    Attributes:
        title: title on pages, e.g. "Indirect objects".
        description: one sentence with an example prompt.
        metric: the metric on which faithfulness is based: `logit_difference` is the mean logit of the
            answers minus the mean logit of the wrong answers; `probability_difference` the probability
            mass on the answers minus the mass on the wrong answers.
    """

    title: ClassVar[str]
    description: ClassVar[str]
    metric: ClassVar[Metric] = "logit_difference"

    @abstractmethod
    def pairs(self, words: Words, split: Split, n: int, seed: int) -> list[Pair]:
        """Return up to `n` distinct pairs of one split, drawn with `seed`.

        Words that are not one token of the model are left out. The splits share no prompt, clean or
        corrupt, whatever the seeds and sizes.

        Raises:
            RequestError: too few words are left to make the task; the message has the count.
        """

    def note(self, words: Words) -> str | None:
        """Return how the task is adapted to a tokenizer, for the notes of its runs; None if it is not."""
        return None


tasks: Registry[Task] = Registry("task", "engine.tasks")
