"""Gaussian noise tracing (GNT), the causal tracing of ROME (Meng et al. 2022, 2202.05262, section 2.1).

    e*  =  e + ν σ ε ,     ε ~ N(0, 1),

on the token embedding e of every token of the subject. σ is the standard deviation of all components of the
embeddings of many subjects' tokens, those of the task "facts". A prompt is corrupted by several draws of
noise, which are the same for every cell and for restoring nothing. The prompt and the seed determine the
draws.
"""

from collections.abc import Sequence

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional

from engine.ablations.gaussian import prompt_generator
from engine.models.transformer import Transformer
from engine.progress import Report
from engine.tracing.base import Corrupter, Corruption, TraceProblem, corruptions
from engine.tracing.prompts import Traced


class Settings(BaseModel):
    """Settings of Gaussian noise."""

    model_config = ConfigDict(extra="forbid")

    noise: float = Field(
        3.0, ge=0, le=100, title="Noise", description="Standard deviations of noise on the subject's tokens."
    )
    draws: int = Field(10, ge=1, le=1000, title="Draws", description="Draws of noise for every prompt.")


class NoiseDraws(Corrupter):
    """A corrupter by draws of Gaussian noise with standard deviation `scale`, in units of the embedding."""

    def __init__(self, transformer: Transformer, scale: float, draws: int, seed: int) -> None:
        self.transformer, self.scale, self.n_versions, self.seed = transformer, scale, draws, seed

    def streams(self, prompts: Sequence[Traced], clean: Tensor, versions: Sequence[int]) -> Tensor:
        """Return streams with some draws of noise; see the base class."""
        streams = clean.unsqueeze(1).repeat(1, len(versions), 1, 1)
        for row, prompt in zip(streams, prompts, strict=True):
            first, end = prompt.subject
            generator = prompt_generator(prompt.tokens, self.seed)
            noise = torch.randn((self.n_versions, end - first, clean.shape[-1]), generator=generator)
            row[:, first:end] += self.transformer.centre(self.scale * noise[list(versions)].to(row))
        return streams

    def versions(self, token_class: int | None, layer: int | None) -> Sequence[int]:
        """Return all draws."""
        return range(self.n_versions)


@corruptions.register("gaussian")
class Gaussian(Corruption[Settings]):
    """e* = e + ν σ ε."""

    title = "Gaussian noise"
    description = "Noise on the embeddings of the subject's tokens, the mean over several draws (ROME)."

    def prepare(
        self, problem: TraceProblem, settings: Settings, report: Report
    ) -> tuple[Corrupter, dict[str, list[float]]]:
        """Return the noise, scaled by the embeddings of known subjects; see the base class."""
        embedding = problem.transformer.embedding
        ids = torch.tensor(problem.subject_tokens, device=embedding.device)
        sigma = float(functional.embedding(ids, embedding).float().std())
        return NoiseDraws(problem.transformer, settings.noise * sigma, settings.draws, problem.seed), {}
