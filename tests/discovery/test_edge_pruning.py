"""Edge Pruning: the distribution, the schedule, the same result after a resume, cancellation."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.ablations.constants import Constants, zeros
from engine.discovery import hard_concrete
from engine.discovery.base import Discovery, Problem, methods
from engine.discovery.edge_pruning import PUBLISHED, Settings
from engine.errors import Cancelled, RequestError
from engine.forward.batch import Batch
from engine.forward.masked import MaskedForward, Replacement
from engine.models import Model
from engine.progress import Report
from engine.settings import parse_settings
from tests.tiny import N_WORDS

STEPS = 60


def problem(
    model: Model,
    checkpoint: Path | None = None,
    warm_start: torch.Tensor | None = None,
    constants: Constants | None = None,
) -> Problem:
    generator = torch.Generator().manual_seed(0)
    run = model.transformer.run
    batches = []
    for _ in range(3):
        clean = torch.randint(1, N_WORDS, (4, 6), generator=generator)
        corrupt = clean.clone()
        corrupt[:, 2] = torch.randint(1, N_WORDS, (4,), generator=generator)
        replacement = Replacement.from_run(run(corrupt, 2))
        batches.append(Batch(run(clean, 2).without_sources(), replacement, [[1]] * 4, [[2]] * 4))
    forward = MaskedForward(model.transformer, model.shape.graph())
    return Problem(forward, lambda size: batches, 30, warm_start, checkpoint, constants)


def nothing(done: int, total: int, message: str) -> None:
    pass


def discover(model: Model, seed: int = 0, checkpoint: Path | None = None, **settings: Any) -> Discovery:
    chosen = parse_settings(Settings, {"steps": STEPS, **settings})
    return methods.get("edge-pruning").discover(problem(model, checkpoint), chosen, seed, nothing)


def test_hard_concrete_masses_and_expected_l0() -> None:
    generator = torch.Generator().manual_seed(0)
    for log_alpha in (-2.0, 0.0, 1.5):
        masks = hard_concrete.sample(torch.full((200_000,), log_alpha), generator)
        kept = torch.sigmoid(hard_concrete.keep_logit(torch.tensor(log_alpha)))
        assert float((masks > 0).float().mean()) == pytest.approx(float(kept), abs=4e-3)
        # P(z = 1) = σ(log α - β log((1 - l) / (r - 1))), the mirror image of P(z = 0)
        ones = 1 / (1 + math.exp(-(log_alpha - 2 / 3 * math.log(1.1 / 0.1))))
        assert float((masks == 1).float().mean()) == pytest.approx(ones, abs=4e-3)


def test_every_edge_has_a_score_and_the_seed_decides_it(tiny_model: Model) -> None:
    one, same, other = (discover(tiny_model, seed).scores for seed in (0, 0, 1))
    assert one.shape == (tiny_model.shape.graph().n_edges,)
    assert torch.equal(one, same), "bitwise"
    assert not torch.equal(one, other)


@pytest.mark.slow
def test_sparsity_follows_its_rising_target(tiny_model: Model) -> None:
    history = discover(tiny_model, steps=600, target_sparsity=0.9).history
    assert history["target"][0] == 0
    assert history["target"][-1] == pytest.approx(0.9)
    gaps = [abs(s - t) for s, t in zip(history["sparsity"], history["target"], strict=True)]
    assert sum(gaps[30:]) / len(gaps[30:]) < 0.03


@pytest.mark.slow
def test_the_published_recipe_moves_only_with_its_weight_decay(tiny_model: Model) -> None:
    settings = parse_settings(Settings, {"recipe": "published"})
    assert {name: getattr(settings, name) for name in PUBLISHED} == PUBLISHED
    changed = parse_settings(
        Settings, {"recipe": "published", "batch_size": 16, "weight_decay": 0, "start": 2}
    )
    assert (changed.batch_size, changed.weight_decay, changed.start) == (16, 0, 2)
    assert parse_settings(Settings, changed.model_dump(mode="json")) == changed
    fast = {"recipe": "published", "rate_warmup": 0, "target_sparsity": 0.9}
    with_decay = discover(tiny_model, **fast, steps=300).scores.mean()
    without = discover(tiny_model, **fast, steps=300, weight_decay=0).scores.mean()
    assert with_decay < without - 0.5


def test_without_node_masks_the_score_is_the_edge_alone(tiny_model: Model) -> None:
    found = discover(tiny_model, node_masks=False, steps=1, mask_rate=1e-9)
    expected = hard_concrete.keep_logit(torch.tensor(2.0))
    torch.testing.assert_close(found.scores, torch.full_like(found.scores, float(expected)))


@pytest.mark.slow
def test_node_target_prunes_sources(tiny_model: Model) -> None:
    sources = torch.from_numpy(tiny_model.shape.graph().edges[:, 0].copy())

    def spread(**settings: Any) -> float:
        scores = discover(tiny_model, steps=300, target_sparsity=0.8, **settings).scores
        best = torch.stack([scores[sources == s].max() for s in range(int(sources.max()) + 1)])
        return float((best > 0).float().mean())

    assert spread(node_target=0.8) < spread()


def test_a_warm_start_keeps_the_ranking_at_first(tiny_model: Model) -> None:
    ranking = torch.randn(tiny_model.shape.graph().n_edges, generator=torch.Generator().manual_seed(3))
    settings = parse_settings(Settings, {"steps": 1, "mask_rate": 1e-9, "node_masks": False})
    task = problem(tiny_model, warm_start=ranking)
    found = methods.get("edge-pruning").discover(task, settings, 0, nothing)
    assert torch.equal(found.scores.argsort(), ranking.argsort())


def test_cancelled_work_resumes_to_the_same_result(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.discovery.mask_training.CHECKPOINT_EVERY", 7)
    expected = discover(tiny_model)

    def stop(done: int, total: int, message: str) -> None:
        if done >= 30:
            raise Cancelled("stopped")

    method, settings = methods.get("edge-pruning"), parse_settings(Settings, {"steps": STEPS})
    with pytest.raises(Cancelled):
        method.discover(problem(tiny_model, tmp_path), settings, 0, stop)
    seen: list[int] = []
    resumed = method.discover(problem(tiny_model, tmp_path), settings, 0, lambda d, t, m: seen.append(d))
    assert min(seen) >= 28, "it went on from the checkpoint"
    assert torch.equal(resumed.scores, expected.scores)
    assert resumed.history == expected.history


def test_constants_are_trained_along_and_come_back_from_a_checkpoint(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.discovery.mask_training.CHECKPOINT_EVERY", 7)
    method, settings = methods.get("edge-pruning"), parse_settings(Settings, {"steps": STEPS})
    start = zeros(tiny_model.transformer)

    def trained(report: Report, checkpoint: Path | None = None) -> Constants:
        constants = Constants(start)
        method.discover(problem(tiny_model, checkpoint, constants=constants), settings, 0, report)
        return constants

    def stop(done: int, total: int, message: str) -> None:
        if done >= 30:
            raise Cancelled("stopped")

    expected = trained(nothing)
    assert all(float(value.detach().abs().max()) > 0.01 for value in expected.values)
    with pytest.raises(Cancelled):
        trained(stop, tmp_path)
    resumed = trained(nothing, tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(resumed.values, expected.values, strict=True))


def test_the_first_step_moves_constants_by_their_rate(tiny_model: Model) -> None:
    constants = Constants(zeros(tiny_model.transformer))
    settings = parse_settings(Settings, {"steps": 1, "start": 0, "constants_rate": 0.03})
    methods.get("edge-pruning").discover(problem(tiny_model, constants=constants), settings, 0, nothing)
    assert max(float(value.detach().abs().max()) for value in constants.values) == pytest.approx(
        0.03, rel=0.01
    )


def test_a_torn_checkpoint_is_started_over(tiny_model: Model, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(b"torn")
    assert torch.equal(discover(tiny_model, checkpoint=tmp_path).scores, discover(tiny_model).scores)


def test_the_metric_term_changes_the_scores(tiny_model: Model) -> None:
    assert not torch.equal(discover(tiny_model, metric_weight=1.0).scores, discover(tiny_model).scores)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"steps": 0}, "steps=0"),
        ({"steps": "many"}, "steps='many'"),
        ({"recipe": "own"}, "recipe='own'"),
        ({"mask_rates": 1}, r"did you mean 'mask_rate'\?"),
    ],
)
def test_settings_out_of_range_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        parse_settings(Settings, given)
