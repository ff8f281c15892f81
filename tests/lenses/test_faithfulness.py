"""Causal faithfulness against naive loops."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.lenses.base import Basis, Lens, Parameters, Place, all_places, at, lenses
from engine.lenses.directions import (
    aligned,
    derangement,
    orthonormal,
    projected,
    random_directions,
    resampled,
    spreads,
)
from engine.lenses.faithfulness import Stand, faithfulness, magnitude, similarity
from engine.lenses.settings import LensTraining
from engine.lenses.streams import read_streams
from engine.models import Model
from engine.models.transformer import Transformer
from engine.progress import silent
from tests.lenses.conftest import random_texts, random_tokens

SETTINGS = LensTraining(directions=6, causal_texts=5)


def stand(model: Model, layer: int, n: int = 5) -> tuple[Stand, Tensor]:
    tokens = random_tokens(n)
    return Stand(model.transformer, model.transformer.run(tokens, tokens.shape[1] - 1), layer), tokens


def trained(model: Model) -> dict[str, tuple[Lens, Parameters]]:
    generator = torch.Generator().manual_seed(0)
    places = all_places(model.shape, False)
    attention = torch.randn((model.shape.n_layers, model.shape.d_model), generator=generator)
    by_name = {}
    for name in ("tuned", "oca", "linear-oca"):
        start = lenses.get(name).start(Basis(model.transformer, places, attention))
        noisy = {k: v + 0.1 * torch.randn(v.shape, generator=generator) for k, v in start.items()}
        by_name[name] = (lenses.get(name), noisy)
    return by_name


@pytest.mark.parametrize("layer", [0, 2])
def test_the_model_goes_on_with_a_changed_stream_as_with_hooks(model: Model, layer: int):
    at_layer, tokens = stand(model, layer)
    changed = at_layer.h + 0.3 * torch.randn(
        (2, *at_layer.h.shape), generator=torch.Generator().manual_seed(0)
    )
    log_p = at_layer.of_model(model.transformer.centre(changed))
    for i in range(2):

        def put(x: Tensor, hook: Any, i: int = i) -> Tensor:
            x = x.clone()
            x[:, -1] = changed[i]
            return x

        with torch.no_grad():
            logits = model.bridge.run_with_hooks(tokens, fwd_hooks=[(f"blocks.{layer}.hook_resid_pre", put)])[
                :, -1
            ]
        assert torch.allclose(log_p[i], logits.log_softmax(-1), atol=2e-3)


def test_mean_and_covariance(tiny_model: Model):
    texts = random_texts(40)
    spread = spreads(tiny_model.transformer, texts, silent)[1]
    rows = read_streams(tiny_model.transformer, texts.tokens, [Place(1)]).at[0, texts.counted].double()
    assert torch.allclose(spread.mean.double(), rows.mean(0), atol=1e-5)
    covariance = torch.cov(rows.T, correction=0)
    ridge = 3e-4 * torch.eye(24, dtype=torch.float64)
    assert torch.allclose((spread.factor @ spread.factor.T).double(), covariance + ridge, atol=1e-4)
    assert spread.length == pytest.approx(float(covariance.trace().sqrt()), rel=1e-4)
    drawn = random_directions(spread, 20_000, torch.Generator().manual_seed(0), unit=False).double()
    assert float((torch.cov(drawn.T) - covariance).abs().max()) < 0.1 * float(covariance.max())
    assert random_directions(spread, 3, torch.Generator()).norm(dim=-1).tolist() == pytest.approx([1] * 3)


def test_aligned_directions_are_those_that_move_the_lens_most(tiny_model: Model):
    t, spread = tiny_model.transformer, spreads(tiny_model.transformer, random_texts(40), silent)[1]
    weight = trained(tiny_model)["tuned"][1]["weight"][1]
    directions = aligned(t, spread, weight)
    assert directions.norm(dim=-1).tolist() == pytest.approx([1] * 24, abs=1e-4)
    # A step of one standard deviation along the first moves what the lens says further than any other step.
    whole = torch.eye(24) + t.centre(weight.T).T
    back = torch.linalg.solve_triangular(spread.factor, directions[0].unsqueeze(1), upper=False)
    most = (whole @ directions[0]).norm() / back.norm()
    others = random_directions(spread, 500, torch.Generator().manual_seed(0))
    moved = (others @ whole.T).norm(dim=-1)
    steps = torch.linalg.solve_triangular(spread.factor, others.T, upper=False).norm(dim=0)
    assert float(most) >= float((moved / steps).max()) - 1e-4
    rows = orthonormal(directions[:5])
    assert torch.allclose(rows @ rows.T, torch.eye(5), atol=1e-5)


def test_projections_and_resampling_by_loops():
    generator = torch.Generator().manual_seed(0)
    h, mean = torch.randn((4, 6), generator=generator), torch.randn(6, generator=generator)
    directions = torch.nn.functional.normalize(torch.randn((3, 6), generator=generator), dim=-1)
    without = projected(h, mean, directions)
    for i, v in enumerate(directions):
        for j, row in enumerate(h):
            assert torch.allclose(without[i, j], row - ((row - mean) @ v) * v, atol=1e-6)
            assert float((without[i, j] - mean) @ v) == pytest.approx(0, abs=1e-5)
    basis = orthonormal(directions)
    order = torch.tensor([[1, 2, 3, 0]])
    again = resampled(h, basis, order)
    projection = basis.T @ basis
    for j, row in enumerate(h):
        replacement = h[order[0, j]]
        expected = row - projection @ (row - mean) + projection @ (replacement - mean)
        assert torch.allclose(again[0, j], expected, atol=1e-5)


@pytest.mark.parametrize("n", [2, 3, 9])
def test_derangements(n: int):
    for seed in range(20):
        order = derangement(n, torch.Generator().manual_seed(seed))
        assert sorted(order.tolist()) == list(range(n))
        assert all(i != j for i, j in enumerate(order.tolist()))


def test_similarity_by_the_formula():
    generator = torch.Generator().manual_seed(0)
    p, p2, q, q2 = (torch.randn((3, 9), generator=generator).log_softmax(-1) for _ in range(4))
    alike = similarity(p, p2 - p, q2 - q)
    for i in range(3):
        w = p[i].exp()
        u, v = (q2[i] - q[i]).softmax(-1), (p2[i] - p[i]).softmax(-1)
        u, v = (x.log() - (w * x.log()).sum() for x in (u, v))
        expected = (w * u * v).sum() / ((w * u * u).sum() * (w * v * v).sum()).sqrt()
        assert float(alike[i]) == pytest.approx(float(expected), abs=1e-5)
    assert similarity(p, p2 - p, p2 - p).tolist() == pytest.approx([1] * 3, abs=1e-5)
    assert bool(similarity(p, p2 - p, torch.zeros_like(p)).isnan().all())


def test_magnitude_is_a_correlation_with_an_interval():
    rng = np.random.default_rng(0)
    x = rng.normal(size=50)
    y = x + 0.5 * rng.normal(size=50)
    summary = magnitude(np.stack([x, y]), 0)
    assert summary["mean"] == pytest.approx(np.corrcoef(x, y)[0, 1])
    low, high = summary["ci95"]
    assert low < summary["mean"] < high < 1
    assert magnitude(np.stack([x, np.ones(50)]), 0)["mean"] is None


def test_reactions_by_loops(tiny_model: Model):
    at_layer, _ = stand(tiny_model, 1)
    lens, parameters = trained(tiny_model)["oca"]
    own = at(parameters, [1])
    streams = at_layer.h + 0.5 * torch.randn((3, 5, 24), generator=torch.Generator().manual_seed(1))
    streams = tiny_model.transformer.centre(streams)
    model, of_lens, alike = at_layer.reactions(lens, own, streams)
    q = at_layer.of_lens(lens, own, at_layer.h[None])[0]
    for i in range(3):
        for j in range(5):
            p2 = at_layer.of_model(streams[i : i + 1])[0, j]
            q2 = at_layer.of_lens(lens, own, streams[i : i + 1])[0, j]
            p = at_layer.log_p[j]
            assert float(model[i, j]) == pytest.approx(float((p.exp() * (p - p2)).sum()), abs=1e-5)
            assert float(of_lens[i, j]) == pytest.approx(float((q[j].exp() * (q[j] - q2)).sum()), abs=1e-5)
            assert float(alike[i, j]) == pytest.approx(float(similarity(p, p2 - p, q2 - q[j])), abs=1e-4)


class Whole(Lens):
    """The model itself, as a lens from the last layer: its attention may read the texts."""

    def __init__(self, at_layer: Stand) -> None:
        self.at_layer = at_layer

    def start(self, basis: Basis) -> Parameters:
        return {}

    def final(
        self, transformer: Transformer, parameters: Parameters, places: Sequence[Place], streams: Tensor
    ) -> Tensor:
        n, b = streams.shape[1:3]
        run, layer = self.at_layer.run, self.at_layer.layer
        prefix = tuple(x.repeat(1, n, 1, 1) for x in run.prefix[layer])
        flat = streams[0].flatten(0, 1).unsqueeze(1)
        heads = transformer.attend_stream(layer, flat, run.start, (prefix[0], prefix[1]))[0]
        between = flat + transformer.written(layer, heads)
        whole = between + transformer.mlp(layer, flat if transformer.shape.parallel else between)
        return whole.view(1, n, b, -1)


def test_a_lens_that_equals_the_model_reacts_as_it_does(model: Model):
    at_layer, _ = stand(model, model.shape.n_layers - 1)
    spread = spreads(model.transformer, random_texts(20), silent)[at_layer.layer]
    directions = random_directions(spread, 6, torch.Generator().manual_seed(0))
    streams = projected(at_layer.h, spread.mean, directions)
    of_model, of_lens, alike = at_layer.reactions(Whole(at_layer), {}, streams)
    assert torch.allclose(of_model, of_lens, atol=1e-4)
    assert float(alike.min()) > 0.999


def test_steps_cost_what_they_are_to_cost(tiny_model: Model):
    at_layer, _ = stand(tiny_model, 1)
    spread = spreads(tiny_model.transformer, random_texts(40), silent)[1]
    step = at_layer.step(spread, torch.Generator().manual_seed(0))
    drawn = random_directions(spread, 4 * 5, torch.Generator().manual_seed(0), unit=False).view(4, 5, 24)
    changed = at_layer.of_model(at_layer.h + step * drawn / spread.length)
    kl = (at_layer.log_p.exp() * (at_layer.log_p - changed)).sum(-1).mean()
    assert float(kl) == pytest.approx(0.2, rel=0.05)


def test_every_lens_place_and_change_is_there(tiny_model: Model):
    places = all_places(tiny_model.shape, False)

    def reactions() -> list[dict[str, Any]]:
        texts = random_texts(20), random_texts(12, seed=4)
        args = (tiny_model.transformer, trained(tiny_model), places, *texts)
        return faithfulness(*args, SETTINGS, 0, silent)

    rows = reactions()
    assert rows == reactions()
    kinds = {
        (row["lens"], row["place"], row["directions"], row["intervention"], row["n_directions"])
        for row in rows
    }
    assert len(kinds) == len(rows) == 2 * 3 * (2 * 2 + 3)
    assert {row["n_directions"] for row in rows if row["intervention"] == "resample"} == {5, 10, 20}
    for row in rows:
        assert row["n_texts"] == 5
        assert -1 <= row["magnitude"]["mean"] <= 1
        assert -1 <= row["direction"]["mean"] <= 1
        assert row["direction"]["n"] == (20 if row["intervention"] == "resample" else 6)
