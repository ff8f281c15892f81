"""Training on tiny models: never worse than the start, the same again from the same seed."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from engine.errors import Cancelled
from engine.lenses.base import Basis, Recipe, all_places, lenses
from engine.lenses.settings import LensTraining
from engine.lenses.streams import read_streams
from engine.lenses.texts import Texts
from engine.lenses.training import Job, mean_attention, train, validate
from engine.metrics import kl_divergence
from engine.models import Model
from engine.progress import silent
from tests.lenses.conftest import random_texts, random_tokens

SETTINGS = LensTraining(tuned_steps=10, oca_steps=60, linear_steps=10)


def job(model: Model, seed: int = 0) -> Job:
    places = all_places(model.shape, not model.shape.parallel)
    return Job(model.transformer, places, random_texts(12), random_texts(5, seed=9), 14, seed)


def basis(of: Job) -> Basis:
    return Basis(of.transformer, of.places, mean_attention(of.transformer, of.training, 5, silent))


def test_means_are_over_texts_and_positions(model: Model):
    texts = random_texts(12)
    written = read_streams(model.transformer, texts.tokens, all_places(model.shape, False)).attention
    mean = mean_attention(model.transformer, texts, 20, silent)
    assert torch.allclose(mean, written[:, texts.counted].mean(1), atol=1e-5)


def test_what_stands_behind_the_end_of_a_text_means_nothing(model: Model):
    of, lens = job(model), lenses.get("oca")
    start, recipe = lens.start(basis(of)), lens.recipe(SETTINGS)
    assert recipe is not None
    other = random_tokens(12, seed=77)
    behind = of.training.counted.logical_not()
    behind[:, 0] = False
    changed = replace(of, training=Texts(of.training.tokens.where(~behind, other), of.training.counted))
    assert torch.allclose(basis(changed).attention, basis(of).attention, atol=1e-6)
    plain, again = (train(x, lens, recipe, start, silent)[0]["constants"] for x in (of, changed))
    assert torch.allclose(plain, again, atol=1e-5)


def test_positions_weigh_equally(tiny_model: Model):
    of, lens = job(tiny_model), lenses.get("mean")
    start, texts = lens.start(basis(of)), of.validation
    kl = []
    for i in range(len(texts)):
        n = int(texts.lengths[i])
        streams = read_streams(tiny_model.transformer, texts.tokens[i : i + 1, : n + 1], of.places)
        at, final = streams.at[:, 0, 1:], streams.final[0, 1:]
        said = lens.final(tiny_model.transformer, start, of.places, at)
        kl.append(kl_divergence(tiny_model.transformer.unembed(said), tiny_model.transformer.unembed(final)))
    assert torch.allclose(validate(of, lens, start), torch.cat(kl, 1).mean(1), atol=1e-5)


@pytest.mark.parametrize("name", ["tuned", "oca", "linear-oca"])
def test_trained_is_never_worse_than_the_start(model: Model, name: str):
    of, lens = job(model), lenses.get(name)
    if name == "linear-oca":
        oca = lenses.get("oca")
        of = Job(**{**vars(of), "teacher": (oca, oca.start(basis(of)))})
    start, recipe = lens.start(basis(of)), lens.recipe(SETTINGS)
    assert recipe is not None
    before = {key: value.clone() for key, value in start.items()}
    trained, history = train(of, lens, recipe, start, silent)
    first, last = validate(of, lens, start), validate(of, lens, trained)
    assert bool((last <= first + 1e-6).all())
    assert float(last.sum()) < float(first.sum())
    some = sorted(set(lens.owners(of.places)))
    assert history["best"][-1] == pytest.approx(float(last[some].mean()), abs=1e-5)
    for i, owner in enumerate(lens.owners(of.places)):
        assert all(torch.equal(value[i], value[owner]) for value in trained.values())
    assert history["step"] == [recipe.steps * look // 5 for look in range(6)]
    assert all(torch.equal(before[key], start[key]) for key in before), "the start is left as it was"


def test_a_rate_that_destroys_everything_keeps_the_start(tiny_model: Model):
    of, lens = job(tiny_model), lenses.get("oca")
    start = lens.start(basis(of))
    trained, _ = train(of, lens, Recipe(5, partial(torch.optim.SGD, lr=1e6)), start, silent)
    assert bool((validate(of, lens, trained) <= validate(of, lens, start)).all())


def test_same_seed_same_parameters(tiny_model: Model):
    lens = lenses.get("oca")
    recipe = lens.recipe(SETTINGS)
    assert recipe is not None
    first, again, other = (
        train(job(tiny_model, seed), lens, recipe, lens.start(basis(job(tiny_model))), silent)[0]["constants"]
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_cancelled(tiny_model: Model):
    def stop(done: int, total: int, message: str) -> None:
        if done == 3:
            raise Cancelled("cancelled")

    lens = lenses.get("oca")
    recipe = lens.recipe(SETTINGS)
    assert recipe is not None
    with pytest.raises(Cancelled):
        train(job(tiny_model), lens, recipe, lens.start(basis(job(tiny_model))), stop)
