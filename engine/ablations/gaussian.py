"""Gaussian noise: the source's output on the clean prompt, with noise added.

    a = A(x) + ν σ ε ,     ε ~ N(0, 1),

where σ is the standard deviation of every component of the source's output, over training prompts and
positions. Causal tracing (Meng et al. 2022, 2202.05262) adds such noise to embeddings, at ν = 3. Unlike a
total ablation, noise leaves part of the information. The prompt and the seed determine the noise.
"""

import hashlib

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from engine.ablations.base import Ablated, Ablation, Reference, Replacer, ablations
from engine.ablations.constants import deviations, first_ablated
from engine.forward.masked import Replacement
from engine.models.transformer import Transformer
from engine.tensors import integers


class Settings(BaseModel):
    """Settings of Gaussian noise."""

    model_config = ConfigDict(extra="forbid")

    noise: float = Field(
        3.0, ge=0, le=100, title="Noise", description="Standard deviations of noise that are added."
    )


@ablations.register("gaussian")
class Gaussian(Ablation[Settings]):
    """a = A(x) + ν σ ε."""

    title = "Gaussian noise"
    description = "The clean activation with Gaussian noise added, as causal tracing does to embeddings."

    def prepare(
        self, transformer: Transformer, reference: Reference, settings: Settings, seed: int
    ) -> Replacer:
        """Return a replacer that runs the clean prompts and adds noise drawn with `seed`."""
        noise, spread = settings.noise, deviations(transformer, reference.clean)

        def replace(clean: Tensor, corrupt: Tensor) -> Ablated:
            start = first_ablated(clean)
            run = Replacement.from_run(transformer.run(clean, start))
            generators = [prompt_generator(integers(prompt), seed) for prompt in clean]
            pairs = ((run.input, spread.input), (run.heads, spread.heads), (run.mlps, spread.mlps))
            stream, heads, mlps = (value + noise * s * _noise(value, generators) for value, s in pairs)
            return Ablated(start, Replacement(stream, heads, mlps))

        return replace


def prompt_generator(tokens: list[int], seed: int) -> torch.Generator:
    """Return the random generator for the noise of a prompt with these tokens."""
    digest = hashlib.sha256(f"{seed} {tokens}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def _noise(like: Tensor, generators: list[torch.Generator]) -> Tensor:
    """Return standard normal noise shaped like `like` [..., B, S, x], each prompt from its own generator."""
    shape = like.select(-3, 0).shape
    return torch.stack([torch.randn(shape, generator=g) for g in generators], -3).to(like)
