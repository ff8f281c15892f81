"""Training on tiny models: never worse than the start, the same again from the same seed."""

from functools import partial

import pytest
import torch

from engine.discovery.base import silent
from engine.errors import Cancelled
from engine.lenses.base import Basis, Recipe, all_places, lenses
from engine.lenses.settings import LensTraining
from engine.lenses.streams import read_streams
from engine.lenses.training import Job, mean_attention, train, validate
from engine.models import Model
from tests.lenses.conftest import random_tokens

SETTINGS = LensTraining(tuned_steps=10, oca_steps=10, linear_steps=10)


def job(model: Model, seed: int = 0) -> Job:
    places = all_places(model.shape, not model.shape.parallel)
    return Job(model.transformer, places, random_tokens(12), random_tokens(5, seed=9), 4, seed)


def basis(of: Job) -> Basis:
    return Basis(of.transformer, of.places, mean_attention(of.transformer, of.training, 5, silent))


def test_means_are_over_texts_and_positions(model: Model):
    tokens = random_tokens(12)
    written = read_streams(model.transformer, tokens, all_places(model.shape, False)).attention
    found = mean_attention(model.transformer, tokens, 5, silent)
    assert torch.allclose(found, written[:, :, 1:].mean((1, 2)), atol=1e-5)


@pytest.mark.parametrize("name", ["tuned", "oca", "linear-oca"])
def test_trained_is_never_worse_than_the_start(model: Model, name: str):
    of, lens = job(model), lenses.get(name)
    if name == "linear-oca":
        oca = lenses.get("oca")
        of = Job(**{**vars(of), "teacher": (oca, oca.start(basis(of)))})
    start, recipe = lens.start(basis(of)), lens.recipe(SETTINGS)
    assert recipe is not None
    before = {key: value.clone() for key, value in start.items()}
    found, history = train(of, lens, recipe, start, silent)
    first, last = validate(of, lens, start), validate(of, lens, found)
    assert bool((last <= first + 1e-6).all())
    assert float(last.sum()) < float(first.sum())
    assert history["best"][-1] == pytest.approx(float(last.mean()), abs=1e-5)
    assert history["step"] == [0, 2, 4, 6, 8, 10]
    assert all(torch.equal(before[key], start[key]) for key in before), "the start is left as it was"


def test_a_rate_that_destroys_everything_keeps_the_start(tiny_model: Model):
    of, lens = job(tiny_model), lenses.get("oca")
    start = lens.start(basis(of))
    found, _ = train(of, lens, Recipe(5, partial(torch.optim.SGD, lr=1e6)), start, silent)
    assert bool((validate(of, lens, found) <= validate(of, lens, start)).all())


def test_same_seed_same_parameters(tiny_model: Model):
    lens = lenses.get("oca")
    recipe = lens.recipe(SETTINGS)
    assert recipe is not None
    one, again, other = (
        train(job(tiny_model, seed), lens, recipe, lens.start(basis(job(tiny_model))), silent)[0]["constants"]
        for seed in (0, 0, 1)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_cancelled(tiny_model: Model):
    def stop(done: int, total: int, message: str) -> None:
        if done == 3:
            raise Cancelled("cancelled")

    lens = lenses.get("oca")
    recipe = lens.recipe(SETTINGS)
    assert recipe is not None
    with pytest.raises(Cancelled):
        train(job(tiny_model), lens, recipe, lens.start(basis(job(tiny_model))), stop)
