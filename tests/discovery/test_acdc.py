"""ACDC against itself the slow way, one masked forward per edge; path, scores, resume, cancellation."""

from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.ablations.constants import constant_replacer, means
from engine.circuits.graph import Qkv
from engine.discovery import edge_removal
from engine.discovery.acdc import Settings
from engine.discovery.base import Discovery, Problem, methods
from engine.errors import Cancelled, RequestError
from engine.forward.batch import Batch
from engine.forward.masked import MaskedForward, Replacement
from engine.models import Model, load_model
from engine.settings import parse_settings
from tests.tiny import FAMILIES, N_WORDS, save_tiny

PATH = {"lowest": 0.002, "highest": 0.05, "levels": 3}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    """Models of two layers: serial and parallel blocks."""
    models = {}
    for family in ("gpt2", "gpt_neox"):
        config = copy(FAMILIES[family])
        config.num_hidden_layers = 2
        folder = save_tiny(config, tmp_path_factory.mktemp("models") / family)
        models[family] = load_model(str(folder), device="cpu")
    return models


def nothing(done: int, total: int, message: str) -> None:
    pass


def problem(
    model: Model, kind: str = "run", qkv: Qkv = "split", checkpoint: Path | None = None
) -> tuple[Problem, list[int]]:
    """Return a problem of two batches of unequal size and length, and what batch sizes it is asked for."""
    generator, t = torch.Generator().manual_seed(0), model.transformer
    batches, asked = [], []
    for n, length in ((3, 6), (2, 5)):
        clean = torch.randint(1, N_WORDS, (n, length), generator=generator)
        corrupt = clean.clone()
        corrupt[:, 2] = torch.randint(1, N_WORDS, (n,), generator=generator)
        if kind == "run":
            start, replacement = 2, Replacement.from_run(t.run(corrupt, 2))
        else:
            words = torch.randint(1, N_WORDS, (8, 6), generator=torch.Generator().manual_seed(1))
            conditioning = "shared" if kind == "shared" else "per position"
            ablated = constant_replacer(means(t, [words], conditioning))(clean, corrupt)
            start, replacement = ablated.start, ablated.replacement
        batches.append(Batch(t.run(clean, start).without_sources(), replacement, [[1]] * n, [[2]] * n))

    def prepare(size: int) -> list[Batch]:
        asked.append(size)
        return batches

    forward = MaskedForward(t, model.shape.graph(qkv))
    return Problem(forward, prepare, 30, checkpoint=checkpoint), asked


def discover(task: Problem, **settings: Any) -> Discovery:
    return methods.get("acdc").discover(task, parse_settings(Settings, settings), 0, nothing)


def slow(task: Problem, threshold: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the edges kept, and by how much the KL rose at every edge, one masked forward per edge."""
    graph, batches = task.forward.graph, task.prepare(1)

    @torch.no_grad()
    def kl(mask: torch.Tensor) -> float:
        total, n = 0.0, 0
        for batch in batches:
            log_q = task.forward(batch.clean, batch.replacement, mask).double().log_softmax(-1)
            log_p = batch.clean.logits.double().log_softmax(-1)
            total += float((log_p.exp() * (log_p - log_q)).sum())
            n += len(log_p)
        return total / n

    def order(edge: int) -> tuple[int, ...]:
        name = graph.readers[graph.edges[edge, 1]]
        source = -int(graph.edges[edge, 0])
        if name == "logits":
            return (0, 0, 0, 0, source)
        layer = int(name.split(".")[0][1:])
        if name.startswith("m"):
            return (1, -layer, 0, 0, source)
        head, kind = name.split(".h")[1].removesuffix(">").partition("<")[::2]
        return (1, -layer, 1 + "vkq".find(kind), -int(head), source)

    mask, rises = torch.ones(graph.n_edges), torch.zeros(graph.n_edges)
    current = kl(mask)
    for edge in sorted(range(graph.n_edges), key=order):
        mask[edge] = 0
        without = kl(mask)
        rises[edge] = without - current
        if without - current < threshold:
            current = without
        else:
            mask[edge] = 1
    return mask.bool(), rises


@pytest.mark.parametrize(
    ("family", "kind", "qkv"),
    [
        ("three layers", "run", "split"),
        ("gpt2", "shared", "split"),
        ("gpt_neox", "run", "merged"),
        ("gpt_neox", "per position", "split"),
    ],
)
def test_same_edges_as_one_masked_forward_per_edge(
    tiny_model: Model, small: dict[str, Model], family: str, kind: str, qkv: Qkv
) -> None:
    task = problem(small.get(family, tiny_model), kind, qkv)[0]
    sizes = []
    for threshold in (0.002, 0.02):
        expected, rises = slow(task, threshold)
        found = discover(task, threshold=threshold)
        assert torch.equal(found.path[0].kept, expected)
        assert found.path[0].penalty == threshold
        assert found.history["edges"] == [int(expected.sum())]
        assert torch.equal(found.scores >= threshold, expected)
        for of_level in (expected, ~expected):
            assert (rises[of_level][found.scores[of_level].argsort()].diff() > -1e-5).all()
        sizes.append(int(expected.sum()))
    assert len(expected) > sizes[0] > sizes[1] > 0


@pytest.mark.parametrize("numbers", [1, 4000])
def test_how_many_are_tested_side_by_side_changes_nothing(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch, numbers: int
) -> None:
    task = problem(tiny_model)[0]
    expected = discover(task, threshold=0.02)
    monkeypatch.setattr(edge_removal, "MOST_NUMBERS", numbers)
    found = discover(task, threshold=0.02)
    assert torch.equal(found.path[0].kept, expected.path[0].kept)
    assert found.history["kl"] == pytest.approx(expected.history["kl"], rel=1e-4)


def test_a_path_is_one_sweep_per_threshold_and_scores_say_where_an_edge_falls(tiny_model: Model) -> None:
    task, asked = problem(tiny_model)
    found = discover(task, **PATH, batch_size=5)
    assert asked == [5]
    thresholds = [step.penalty for step in found.path]
    assert thresholds == pytest.approx([0.002, 0.01, 0.05])
    level = torch.full_like(found.scores, len(thresholds))
    for i, step in reversed(list(enumerate(found.path))):
        assert torch.equal(step.kept, discover(task, threshold=step.penalty).path[0].kept)
        level[~step.kept] = i
    bounds = torch.tensor([0.0, *thresholds, 2 * thresholds[-1]])
    assert torch.equal(torch.bucketize(found.scores, bounds, right=True) - 1, level.long())
    assert len(found.scores.unique()) == len(found.scores), "every edge is ranked"
    assert found.history["edges"] == [int(step.kept.sum()) for step in found.path]
    assert np.isfinite(found.history["kl"]).all()


def test_cancelled_work_resumes_to_the_same_result(tiny_model: Model, tmp_path: Path) -> None:
    expected = discover(problem(tiny_model)[0], **PATH)
    task, settings = problem(tiny_model, checkpoint=tmp_path)[0], parse_settings(Settings, PATH)
    last = 0
    for stop_at in (0.2, 0.5, 0.8):

        def stop(done: int, total: int, message: str, stop_at: float = stop_at) -> None:
            if done >= stop_at * total:
                raise Cancelled("stopped")

        with pytest.raises(Cancelled):
            methods.get("acdc").discover(task, settings, 0, stop)
        seen: list[int] = []

        def first(done: int, total: int, message: str, seen: list[int] = seen) -> None:
            seen.append(done)
            raise Cancelled("at once")

        with pytest.raises(Cancelled):
            methods.get("acdc").discover(task, settings, 0, first)
        assert seen[0] > last, "it went on from the checkpoint"
        last = seen[0]
    resumed = methods.get("acdc").discover(task, settings, 0, nothing)
    assert torch.equal(resumed.scores, expected.scores)
    assert resumed.history == expected.history
    for one, other in zip(resumed.path, expected.path, strict=True):
        assert torch.equal(one.kept, other.kept)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"threshold": 0}, "threshold=0"),
        ({"levels": 0}, "levels=0"),
        ({"lowest": 0.2}, "not above the lowest"),
    ],
)
def test_settings_out_of_range_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        parse_settings(Settings, given)
