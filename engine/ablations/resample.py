"""Resample ablation: the source's output on another, unrelated clean prompt of the same length, the donor.

The prompt and the seed determine the donor. The donor is a training prompt of the same length or, if there is
no other such prompt, a prompt of the same batch. A prompt whose length no other prompt has gets its own
corrupt prompt, which is noted.
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
            donors = _draw(clean, corrupt, by_length.get(clean.shape[1], clean[:0]), seed)
            start = first_difference(clean, donors)
            return Ablated(start, Replacement.from_run(transformer.run(donors, start)))

        return replace

    def notes(self, reference: Reference, prompts: list[Tensor]) -> list[str]:
        """Return how many prompts have no donor but their own corrupt prompt; see the base class."""
        by_length = {tokens.shape[1]: tokens for tokens in reference.clean}
        alone: list[int] = []
        for tokens in prompts:
            others = torch.cat([tokens, by_length.get(tokens.shape[1], tokens[:0])])
            if bool((others == tokens[0]).all()):
                alone.append(len(tokens))
        n = sum(map(len, prompts))
        if not alone:
            return []
        return [
            f"{sum(alone)} of {n} prompts have a length that no other prompt has: instead of another prompt "
            "their own corrupt one stands in for them"
        ]


def _draw(prompts: Tensor, corrupt: Tensor, pool: Tensor, seed: int) -> Tensor:
    """Return a donor for every row of `prompts` [B, S]: from `pool` [n, S], or else from `prompts`, or else
    its corrupt prompt."""
    donors: list[Tensor] = []
    for prompt, own in zip(prompts, corrupt, strict=True):
        others = pool[(pool != prompt).any(-1)]
        if not len(others):
            others = prompts[(prompts != prompt).any(-1)]
        if not len(others):
            others = own[None]
        donors.append(others[Random(f"{seed} {integers(prompt)}").randrange(len(others))])
    return torch.stack(donors)
