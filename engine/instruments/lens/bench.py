"""Benches of training lenses: one step of the OCA lens for every start layer at once.

The plain run and the model's predictions are computed beforehand, as in the other benches. All 12 start
layers take 78 MLPs forward and back and 12 unembeddings forward and back; frozen weights get no gradient.
"""

from collections.abc import Callable
from functools import partial

import torch

from engine.lenses.base import Basis, all_places, lenses
from engine.lenses.loss import make_teacher
from engine.lenses.settings import LensTraining
from engine.lenses.streams import read_streams
from engine.lenses.training import advance
from engine.workbench.workload import Bench, Workload


def oca_step(work: Workload, first: int = 0) -> Callable[[], object]:
    """Take one training step of the OCA lens (forward, backward, update) on all positions from `first` on."""
    transformer, lens = work.model.transformer, lenses.get("oca")
    tokens = work.batch.clean.tokens
    places = all_places(work.model.shape, False)
    streams = read_streams(transformer, tokens, places)
    basis = Basis(transformer, places, streams.attention.mean((1, 2)))
    at_places, final = streams.flat(
        (torch.arange(tokens.shape[1], device=tokens.device) >= first).expand_as(tokens)
    )
    teacher = make_teacher(transformer, final)
    values = {name: value.requires_grad_() for name, value in lens.start(basis).items()}
    recipe = lens.recipe(LensTraining())
    assert recipe is not None
    optimiser = recipe.optimiser(list(values.values()))
    return partial(advance, transformer, lens, values, places, at_places, teacher, optimiser, recipe.clip)


def oca_step_last(work: Workload) -> Callable[[], object]:
    """Take one training step of the OCA lens at the last position alone."""
    return oca_step(work, work.batch.clean.tokens.shape[1] - 1)


BENCHES: dict[str, Bench] = {"oca-step": oca_step, "oca-step-last": oca_step_last}
