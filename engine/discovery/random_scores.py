"""Random scores: the baseline that every method must beat."""

import torch
from pydantic import BaseModel, ConfigDict

from engine.discovery.base import Discovery, Method, Problem, methods
from engine.progress import Report


class Settings(BaseModel):
    """Random scores have no settings."""

    model_config = ConfigDict(extra="forbid")


@methods.register("random")
class Random(Method[Settings]):
    """Scores drawn uniformly from 0 to 1."""

    title = "Random"
    description = "Scores drawn at random: the baseline that every method must beat."

    def discover(self, problem: Problem, settings: Settings, seed: int, report: Report) -> Discovery:
        """Return random scores; see the base class."""
        report(0, 1, "drawing scores")
        generator = torch.Generator().manual_seed(seed)
        return Discovery(torch.rand(problem.forward.graph.n_edges, generator=generator))
