"""Optimal ablation: never worse than the means where it is judged, each source by itself."""

import numpy as np
import pytest
import torch

from engine.ablations.base import ablations
from engine.ablations.constants import Constants, means
from engine.ablations.optimal import Settings, fit_alone, fit_circuit
from engine.forward.alone import ablated_alone
from engine.forward.batch import Batch
from engine.forward.masked import MaskedForward, Replacement
from engine.metrics import kl_divergence
from engine.models import Model
from engine.models.transformer import Run
from engine.progress import silent
from engine.settings import parse_settings
from tests.ablations.test_ablations import CLEAN

STEPS = {"steps": 60, "rate": 0.02}


def clean_run(model: Model, tokens: torch.Tensor) -> Run:
    return model.transformer.run(tokens, 1).without_sources()


def batches(model: Model, start: Replacement) -> list[Batch]:
    constants = Constants(start)
    runs = [clean_run(model, tokens) for tokens in CLEAN]
    return [Batch(run, constants.of(run), [[1]] * 4, [[2]] * 4) for run in runs]


def kl(model: Model, values: Replacement, kept: torch.Tensor) -> float:
    forward = MaskedForward(model.transformer, model.shape.graph())
    constants, parts = Constants(values), []
    with torch.no_grad():
        for tokens in CLEAN:
            run = clean_run(model, tokens)
            parts.append(kl_divergence(forward(run, constants.of(run), kept.float()), run.logits).mean())
    return float(torch.stack(parts).mean())


def kl_alone(model: Model, values: Replacement) -> torch.Tensor:
    constants, by_group = Constants(values), []
    with torch.no_grad():
        for tokens in CLEAN:
            run = clean_run(model, tokens)
            parts = [
                kl_divergence(logits, run.logits).mean(-1)
                for _, logits in ablated_alone(model.transformer, run, constants.of(run))
            ]
            by_group.append(torch.cat(parts))
    return torch.stack(by_group).mean(0)


@pytest.mark.slow
@pytest.mark.parametrize("conditioning", ["per position", "shared"])
def test_a_circuit_loses_less_than_with_means_of_the_same_conditioning(
    tiny_model: Model, conditioning
) -> None:
    graph = tiny_model.shape.graph()
    kept = torch.rand(graph.n_edges, generator=torch.Generator().manual_seed(0)) < 0.5
    start = means(tiny_model.transformer, CLEAN, conditioning)
    prepared = batches(tiny_model, start)
    forward = MaskedForward(tiny_model.transformer, graph)
    settings = parse_settings(Settings, STEPS)
    fit = fit_circuit(forward, prepared, prepared, start, kept, settings, 0, silent)
    assert fit.constants.mlps.shape == start.mlps.shape
    # The prompts it is judged on are those it was trained on, so that the gain is not small.
    assert kl(tiny_model, fit.constants, kept) < 0.7 * kl(tiny_model, start, kept)
    assert fit.history["best"][0] == pytest.approx(kl(tiny_model, start, kept), rel=1e-3)
    assert fit.history["best"][-1] == pytest.approx(kl(tiny_model, fit.constants, kept), rel=1e-3)
    assert fit.history["best"] == sorted(fit.history["best"], reverse=True)
    again = fit_circuit(forward, prepared, prepared, start, kept, settings, 0, silent)
    assert torch.equal(fit.constants.heads, again.constants.heads), "bitwise"


@pytest.mark.slow
def test_every_source_alone_is_at_least_as_good_as_its_mean(tiny_model: Model) -> None:
    start = means(tiny_model.transformer, CLEAN, "per position")
    prepared = batches(tiny_model, start)
    settings = parse_settings(Settings, STEPS)
    fit = fit_alone(tiny_model.transformer, prepared, prepared, start, settings, 0, silent)
    at_means, trained = kl_alone(tiny_model, start), kl_alone(tiny_model, fit.constants)
    assert (trained <= at_means + 1e-6).all()
    assert (trained < 0.95 * at_means).float().mean() > 0.8, "most of them gain"


def test_a_training_that_gets_worse_keeps_the_means(tiny_model: Model) -> None:
    start = means(tiny_model.transformer, CLEAN, "shared")
    prepared = batches(tiny_model, start)
    settings = parse_settings(Settings, {"steps": 20, "rate": 1.0})
    fit = fit_alone(tiny_model.transformer, prepared, prepared, start, settings, 0, silent)
    assert (kl_alone(tiny_model, fit.constants) <= kl_alone(tiny_model, start) + 1e-6).all()
    heads = zip(fit.constants.heads.flatten(0, 1), start.heads.flatten(0, 1), strict=True)
    assert any(torch.equal(constant, mean) for constant, mean in heads)


def test_gradients_of_a_source_alone_are_those_of_the_whole_model(tiny_model: Model) -> None:
    """The fast pass goes on from the layer; the slow pass ablates that node in the whole model."""
    graph, transformer = tiny_model.shape.graph(), tiny_model.transformer
    start = means(transformer, CLEAN, "per position")
    run = clean_run(tiny_model, CLEAN[1])
    fast, slow = Constants(start), Constants(start)
    alone = [logits for _, logits in ablated_alone(transformer, run, fast.of(run))]
    torch.cat([kl_divergence(logits, run.logits).mean(-1) for logits in alone]).sum().backward()
    forward = MaskedForward(transformer, graph)
    for source in range(len(graph.sources)):
        mask = torch.from_numpy(graph.edges[:, 0] != source).float()
        kl_divergence(forward(run, slow.of(run), mask), run.logits).mean().backward()
    for ours, theirs in zip(fast.values, slow.values, strict=True):
        assert ours.grad is not None
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-3)


def test_conditioning_and_start_are_those_of_the_mean(tiny_model: Model) -> None:
    optimal = ablations.get("optimal")
    assert optimal.conditioning(parse_settings(optimal.Settings, {})) == "per position"
    shared = parse_settings(optimal.Settings, {"conditioning": "shared"})
    assert optimal.conditioning(shared) == "shared"
    from tests.ablations.test_ablations import ablate

    ours, mean = ablate(tiny_model, "optimal"), ablate(tiny_model, "mean")
    assert torch.equal(ours.replacement.heads, mean.replacement.heads)
    assert np.array_equal(ours.start, mean.start)
