"""A batch of prompts made ready: everything about them that a mask does not change."""

from dataclasses import dataclass

from engine.forward.masked import Replacement
from engine.models.transformer import Run


@dataclass(frozen=True)
class Batch:
    """Prompts of one length, with everything that does not change between steps.

    Attributes:
        clean: the plain run on the clean prompts, without what its sources wrote.
        replacement: what ablated sources are replaced by.
        answers, wrong_answers: token ids for each prompt.
    """

    clean: Run
    replacement: Replacement
    answers: list[list[int]]
    wrong_answers: list[list[int]]
