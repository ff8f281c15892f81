"""Benches of the masked forward, of training steps of methods, and of scores from gradients."""

from collections.abc import Callable
from functools import partial

import torch

from engine.discovery.base import Problem, methods
from engine.discovery.edge_pruning import Settings, Training
from engine.discovery.sampled_training import SampledTraining
from engine.discovery.sampled_training import Settings as SampledSettings
from engine.discovery.ugs import UniformSampler
from engine.progress import silent
from engine.settings import parse_settings
from engine.workbench.workload import Bench, Workload


def masked_forward(work: Workload) -> Callable[[], object]:
    """Run one masked forward with soft masks on all 32,491 edges, with the corrupt pass cached."""
    mask = torch.rand(work.forward.graph.n_edges, device=work.model.device)

    @torch.no_grad()
    def once() -> object:
        return work.forward(work.batch.clean, work.batch.replacement, mask)

    return once


def edge_pruning_step(work: Workload) -> Callable[[], object]:
    """Take one training step of Edge Pruning: sample, forward, backward, update; plain passes cached."""
    problem = Problem(work.forward, lambda size: [work.batch], work.forward.graph.n_edges // 20)
    return Training(problem, parse_settings(Settings, {}), seed=0).advance


def ugs_step(work: Workload) -> Callable[[], object]:
    """Take one training step of UGS with the authors' 5 prompts and 12 masks each; plain passes cached."""
    settings = parse_settings(SampledSettings, {"batch_size": 5, "samples": 12})
    batch = work.prepare(settings.batch_size)
    problem = Problem(work.forward, lambda size: [batch], work.forward.graph.n_edges // 20)
    return SampledTraining(problem, settings, UniformSampler, seed=0).advance


def attribution(work: Workload, method: str) -> Callable[[], object]:
    """Score all edges by gradients, including the clean and the corrupt pass; a path has five steps."""
    problem = Problem(
        work.forward, lambda size: [work.prepare(len(work.batch.answers))], work.forward.graph.n_edges // 20
    )
    chosen = methods.get(method)
    return partial(chosen.discover, problem, parse_settings(chosen.Settings, {}), 0, silent)


BENCHES: dict[str, Bench] = {
    "masked-forward": masked_forward,
    "edge-pruning-step": edge_pruning_step,
    "ugs-step": ugs_step,
    "eap": partial(attribution, method="eap"),
    "eap-ig": partial(attribution, method="eap-ig"),
}
