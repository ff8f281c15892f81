"""Every lens against its definition, on tiny models of every family."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from engine.errors import RequestError
from engine.lenses.base import LENSES, Parameters, Place, all_places, at, lenses
from engine.lenses.loss import kl_to, make_teacher
from engine.lenses.streams import read_streams
from engine.metrics import kl_divergence
from engine.models import Model
from tests.lenses.conftest import random_basis, random_texts, random_tokens


def noisy(parameters: Parameters, seed: int = 5) -> Parameters:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: value + 0.1 * torch.randn(value.shape, generator=generator)
        for name, value in parameters.items()
    }


def test_all_lenses_are_registered():
    assert sorted(LENSES) == lenses.names()


def test_places_are_in_order(model: Model):
    places = all_places(model.shape, False)
    assert [place.name for place in places] == ["0", "1", "2"]
    if model.shape.parallel:
        with pytest.raises(RequestError, match="no middle"):
            all_places(model.shape, True)
    else:
        names = [place.name for place in all_places(model.shape, True)]
        assert names == ["0", "0-mid", "1", "1-mid", "2", "2-mid"]


def test_streams_are_those_of_the_plain_run(model: Model):
    tokens = random_tokens()
    run = model.transformer.run(tokens)
    streams = read_streams(model.transformer, tokens, all_places(model.shape, False))
    for ours, theirs in zip(streams.at, run.residual[:-1], strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)
    assert torch.allclose(model.transformer.unembed(streams.final[:, -1]), run.logits, atol=1e-5)
    if not model.shape.parallel:
        middle = read_streams(model.transformer, tokens, all_places(model.shape, True)).at
        assert torch.allclose(middle[3], run.residual[2] - run.mlps[1], atol=1e-4)


def test_oca_with_the_true_attention_of_one_position_is_the_model(model: Model):
    basis, tokens = random_basis(model), random_tokens(1)
    streams = read_streams(model.transformer, tokens, basis.places)
    constants = streams.attention[:, 0, -1].expand(len(basis.places), -1, -1)
    final = lenses.get("oca").final(
        model.transformer, {"constants": constants}, basis.places, streams.at[:, 0, -1:]
    )
    for end in final:
        assert torch.allclose(end[0], streams.final[0, -1], atol=1e-4)


def test_tuned_and_linear_start_as_the_logit_lens_and_oca_as_the_mean_lens(model: Model):
    basis = random_basis(model)
    streams = read_streams(model.transformer, random_tokens(), basis.places).at

    def final(name: str) -> Tensor:
        lens = lenses.get(name)
        return lens.final(model.transformer, lens.start(basis), basis.places, streams)

    assert torch.allclose(final("tuned"), streams, atol=1e-5)
    assert torch.allclose(final("linear-oca"), streams, atol=1e-5)
    assert torch.equal(final("oca"), final("mean"))


@pytest.mark.parametrize("name", ["mean", "oca", "tuned", "linear-oca"])
def test_all_places_together_equal_one_at_a_time(model: Model, name: str):
    basis, lens = random_basis(model), lenses.get(name)
    streams = read_streams(model.transformer, random_tokens(), basis.places).at
    parameters = noisy(lens.start(basis))
    whole = lens.final(model.transformer, parameters, basis.places, streams)
    for i, place in enumerate(basis.places):
        alone = lens.final(model.transformer, at(parameters, [i]), [place], streams[i : i + 1])
        assert torch.allclose(alone[0], whole[i], atol=1e-5)
    some = [0, 2]
    part = lens.final(model.transformer, at(parameters, some), [basis.places[i] for i in some], streams[some])
    assert torch.allclose(part, whole[some], atol=1e-5)


def test_oca_by_hand(model: Model):
    basis, t = random_basis(model), model.transformer
    streams = read_streams(t, random_tokens(), basis.places).at
    parameters = noisy(lenses.get("oca").start(basis))
    whole = lenses.get("oca").final(t, parameters, basis.places, streams)
    for i, place in enumerate(basis.places):
        h = streams[i]
        for m in range(place.layer, model.shape.n_layers):
            a = t.centre(parameters["constants"][i, m])
            if model.shape.parallel:
                h = h + a + t.mlp(m, h)
            else:
                h = h if place == Place(m, True) else h + a
                h = h + t.mlp(m, h)
        assert torch.allclose(h, whole[i], atol=1e-5)


def test_the_middle_of_a_layer_is_the_place_before_the_next(model: Model):
    basis, lens = random_basis(model), lenses.get("oca")
    owners = lens.owners(basis.places)
    if model.shape.parallel:
        assert owners == [0, 1, 2]
        return
    assert owners == [0, 2, 2, 4, 4, 4]
    read = read_streams(model.transformer, random_tokens(), basis.places)
    shared = at(noisy(lens.start(basis)), owners)
    finals = lens.final(model.transformer, shared, basis.places, read.at)
    assert torch.allclose(finals[1], finals[2], atol=1e-4)
    assert torch.allclose(finals[3], finals[4], atol=1e-4)
    assert torch.allclose(finals[5], read.final, atol=1e-4)
    middles = [place for place in basis.places if place.middle]
    assert lens.owners(middles) == [0, 1, 2], "without the places before layers each has its own"
    assert lens.count(shared, middles) == (2 + 1 + 0) * model.shape.d_model


def test_gradients_reach_every_constant_that_is_used(model: Model):
    basis, lens = random_basis(model), lenses.get("oca")
    streams, final = read_streams(model.transformer, random_tokens(), basis.places).flat(
        random_texts().counted
    )
    parameters = lens.start(basis)
    constants = parameters["constants"].requires_grad_()
    teacher = make_teacher(model.transformer, final)
    kl_to(
        model.transformer, teacher, lens.final(model.transformer, parameters, basis.places, streams)
    ).sum().backward()
    assert constants.grad is not None
    used = 0
    for i, place in enumerate(basis.places):
        for m in range(model.shape.n_layers):
            reached = bool(constants.grad[i, m].abs().max() > 0)
            assert reached == (m >= place.layer + place.middle)
            used += reached * (not place.middle)
    assert lens.count(parameters, basis.places) == used * model.shape.d_model


def test_the_loss_is_the_kl_and_its_gradient_autograd_s(model: Model):
    t, places = model.transformer, all_places(model.shape, False)
    streams, final = read_streams(t, random_tokens(), places).flat(random_texts().counted)
    ours = streams.clone().requires_grad_()
    theirs = streams.clone().requires_grad_()
    kl = kl_to(t, make_teacher(t, final), ours)
    expected = kl_divergence(t.unembed(theirs), t.unembed(final))
    assert torch.allclose(kl, expected, atol=1e-4)
    weights = torch.rand(kl.shape, generator=torch.Generator().manual_seed(0))
    (kl * weights).sum().backward()
    (expected * weights).sum().backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-4)
    parts = {
        name: getattr(t, name) for name in ("final_gain", "final_shift", "unembedding", "unembedding_bias")
    }
    half = replace(t, **{name: None if part is None else part.bfloat16() for name, part in parts.items()})
    rough = kl_to(half, make_teacher(half, final.bfloat16()), streams.bfloat16())
    assert torch.allclose(rough, expected, atol=0.2, rtol=0.1)
    each = make_teacher(t, streams)
    assert kl_to(t, each, streams).abs().max() < 1e-4
