"""A batch of prompts with everything precomputed that does not depend on the mask."""

from dataclasses import dataclass

from engine.forward.masked import Replacement
from engine.models.transformer import Run


@dataclass(frozen=True)
class Batch:
    """Prompts of one length, with their plain run and replacement values.

    Attributes:
        clean: the plain run on the clean prompts, without the outputs of sources.
        replacement: the replacement values of ablated sources.
        answers, wrong_answers: token ids for each prompt.
    """

    clean: Run
    replacement: Replacement
    answers: list[list[int]]
    wrong_answers: list[list[int]]
