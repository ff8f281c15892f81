"""Gradient attribution against the masked forward's own gradient, for every family and every ablation."""

from pathlib import Path

import pytest
import torch

from engine import metrics
from engine.ablations.constants import means, zeros
from engine.circuits.graph import Qkv
from engine.discovery.eap import metric_sum
from engine.forward.attribution import Attribution
from engine.forward.masked import MaskedForward, Replacement
from engine.models import Model, load_model
from engine.models.native import model_from_native
from engine.models.transformer import Run
from engine.tasks.base import Metric
from tests.models.test_native import KINDS, native, prompts
from tests.tiny import FAMILIES, LENGTH, N_WORDS, save_tiny


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = save_tiny(FAMILIES[request.param], tmp_path_factory.mktemp("models") / request.param)
    return load_model(str(folder), device="cpu")


def tokens(seed: int) -> torch.Tensor:
    return torch.randint(1, N_WORDS, (3, LENGTH), generator=torch.Generator().manual_seed(seed))


def replacement(model: Model, ablation: str) -> tuple[int, Replacement]:
    """Return values that replace, and where they start; constants are broadcast."""
    t = model.transformer
    if ablation == "interchange":
        return 0, Replacement.from_run(t.run(tokens(1)))
    if ablation == "zero":
        return 1, zeros(t)
    shared = means(t, [tokens(1)], "shared")
    if ablation == "shared mean":
        return 1, shared
    found = means(t, [tokens(1)], "per position")
    n = LENGTH - 1  # the last of them stands for positions beyond
    return 1, Replacement(found.input[..., :n, :], found.heads[..., :n, :], found.mlps[..., :n, :])


@pytest.mark.parametrize("ablation", ["interchange", "zero", "shared mean", "mean per position"])
@pytest.mark.parametrize("qkv", ["split", "merged"])
def test_scores_are_the_mask_s_gradient(model: Model, ablation: str, qkv: Qkv) -> None:
    forward = MaskedForward(model.transformer, model.shape.graph(qkv))
    start, values = replacement(model, ablation)
    compare(forward, model.transformer.run(tokens(0), start), values)


@pytest.mark.parametrize("kind", ["no norm", "no MLP"])
def test_scores_of_models_without_norm_or_mlps(kind: str) -> None:
    model = model_from_native(kind, native(**KINDS[kind]))
    clean, corrupt = (model.transformer.run(tokens) for tokens in prompts())
    compare(MaskedForward(model.transformer, model.shape.graph()), clean, Replacement.from_run(corrupt))


def compare(forward: MaskedForward, clean: Run, values: Replacement) -> None:
    """Hold the scores of a random metric against the gradient of a mask that keeps everything."""
    weights = torch.randn(clean.logits.shape, generator=torch.Generator().manual_seed(2))
    mask = torch.ones(forward.graph.n_edges, requires_grad=True)
    (expected,) = torch.autograd.grad((forward(clean, values, mask) * weights).sum(), mask)
    attribution = Attribution(forward, clean, values, lambda logits: (logits * weights).sum())
    attribution.add(attribution.at_clean)
    torch.testing.assert_close(attribution.scores(), expected, rtol=1e-4, atol=1e-4)
    assert not attribution.scores().any(), "scores begin anew"


def test_gradient_of_an_earlier_masked_forward_is_refused(tiny_model: Model) -> None:
    forward = MaskedForward(tiny_model.transformer, tiny_model.shape.graph())
    clean, values = tiny_model.transformer.run(tokens(0)), replacement(tiny_model, "interchange")[1]
    logits = forward(clean, values, torch.ones(forward.graph.n_edges, requires_grad=True))
    Attribution(forward, clean, values, lambda logits: logits.sum())
    with pytest.raises(RuntimeError, match="before the next masked forward"):
        logits.sum().backward()


@pytest.mark.parametrize("metric", ["logit_difference", "probability_difference"])
def test_the_metric_is_that_of_the_evaluation(metric: Metric) -> None:
    logits = torch.randn(3, 11, generator=torch.Generator().manual_seed(0))
    answers, wrong = [[1], [2, 3], [4, 5, 6]], [[7, 8], [9], [10, 0]]
    expected = metrics.per_prompt(logits, logits, answers, wrong)[metric].sum()
    assert float(metric_sum(logits, answers, wrong, metric)) == pytest.approx(expected, abs=1e-5)


def test_bfloat16_scores_rank_as_float32_ones_do(tiny_folder: Path) -> None:
    found = {}
    for dtype in ("float32", "bfloat16"):
        model = load_model(str(tiny_folder), device="cpu", dtype=dtype)
        forward = MaskedForward(model.transformer, model.shape.graph())
        values = replacement(model, "interchange")[1]
        attribution = Attribution(
            forward, model.transformer.run(tokens(0)), values, lambda logits: logits[:, :9].float().sum()
        )
        attribution.add(attribution.at_clean)
        found[dtype] = attribution.scores()
        assert found[dtype].dtype == torch.float32
    assert torch.corrcoef(torch.stack(list(found.values())))[0, 1] > 0.98
