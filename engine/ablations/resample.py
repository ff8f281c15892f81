"""Resample ablation: the source's output on another, unrelated clean prompt of the same length, the donor.

The prompt and the seed determine the donor. The donor is a training prompt of the same length or, if there is
no other such prompt, a prompt of the same batch.
"""

from random import Random

import torch
from torch import Tensor

from engine.ablations.base import (
    Ablated,
    Ablation,
    NoSettings,
    Reference,
    Replacer,
    ablations,
    first_difference,
)
from engine.errors import RequestError
from engine.forward.masked import Replacement
from engine.models.transformer import Transformer
from engine.tensors import integers


@ablations.register("resample")
class Resample(Ablation[NoSettings]):
    """a = A(x'), x' drawn independently of x, at the same position."""

    title = "Resample"
    description = "The activation on another clean prompt of the same length, drawn at random, same position."

    def prepare(
        self, transformer: Transformer, reference: Reference, settings: NoSettings, seed: int
    ) -> Replacer:
        """Return a replacer that runs donors drawn with `seed`; see the base class."""
        by_length = {tokens.shape[1]: tokens for tokens in reference.clean}

        def replace(clean: Tensor, corrupt: Tensor) -> Ablated:
            donors = _draw(clean, by_length.get(clean.shape[1], clean[:0]), seed)
            start = first_difference(clean, donors)
            return Ablated(start, Replacement.from_run(transformer.run(donors, start)))

        return replace


def _draw(prompts: Tensor, pool: Tensor, seed: int) -> Tensor:
    """Return a donor for every row of `prompts` [B, S], from `pool` [n, S] or else from `prompts`."""
    donors: list[Tensor] = []
    for prompt in prompts:
        others = pool[(pool != prompt).any(-1)]
        if not len(others):
            others = prompts[(prompts != prompt).any(-1)]
        if not len(others):
            raise RequestError(
                "resample ablation needs two different prompts of each length; there is no other "
                f"one of {prompts.shape[1]} tokens; take more prompts, or another ablation"
            )
        donors.append(others[Random(f"{seed} {integers(prompt)}").randrange(len(others))])
    return torch.stack(donors)
