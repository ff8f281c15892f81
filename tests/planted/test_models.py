"""The planted circuits are the circuits: by brute force, edge by edge."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.discovery.base import Problem, methods
from engine.errors import RequestError
from engine.forward.batch import Batch
from engine.planted import MODELS
from engine.progress import silent
from engine.settings import parse_settings
from tests.planted.models import planted

NOTHING = 1e-6  # nats: rounding
HURTS = 0.5

each_model = pytest.mark.parametrize("name", MODELS)
each_known = pytest.mark.parametrize(
    ("name", "ablation"), [(name, ablation) for name in MODELS for ablation in planted(name).ablations]
)


def divergence(problem: Problem, batch: Batch) -> Callable[[Tensor], Tensor]:
    """Return the function from a mask to the KL divergence of the model from the circuit, for each prompt."""

    def kl(mask: Tensor) -> Tensor:
        logits = problem.forward(batch.clean, batch.replacement, mask)
        full, circuit = batch.clean.logits.log_softmax(-1), logits.log_softmax(-1)
        return (full.exp() * (full - circuit)).sum(-1)

    return kl


@each_known
def test_the_planted_edges_are_the_circuit(name: str, ablation: str) -> None:
    model = planted(name)
    graph, where = model.graph, model.graph.indices(model.circuit)
    problem = model.problem(ablation)
    (batch,) = problem.prepare(len(model.clean))
    kl = divergence(problem, batch)
    everything = torch.ones(graph.n_edges)
    circuit = torch.zeros(graph.n_edges)
    circuit[where] = 1.0

    assert float(kl(circuit).max()) < NOTHING, "the planted edges reproduce the model on every prompt"
    assert float(kl(0 * everything).mean()) > HURTS
    for i, edge in enumerate(graph.edge_names):
        without = everything.clone()
        without[i] = 0.0
        if edge not in model.circuit:
            assert float(kl(without).max()) < NOTHING, f"{edge} changes nothing"
            continue
        assert float(kl(without).mean()) > HURTS, f"{edge} is needed in the model"
        assert float(kl(circuit * without).mean()) > HURTS, f"{edge} is needed in the circuit"


@each_model
def test_the_model_answers_and_its_answer_is_not_the_corrupt_prompts(name: str) -> None:
    model = planted(name)
    for tokens, answers in ((model.clean, model.answers), (model.corrupt, model.wrong_answers)):
        probabilities = model.model.transformer.run(tokens).logits.softmax(-1)
        assert float(probabilities.gather(1, torch.tensor(answers)).min()) > 0.99
    assert all(right != wrong for right, wrong in zip(model.answers, model.wrong_answers, strict=True))


@each_model
def test_every_distractor_writes_and_changes_logits_but_no_probability(name: str) -> None:
    model = planted(name)
    graph = model.graph
    problem = model.problem("counterfactual")
    (batch,) = problem.prepare(len(model.clean))
    writers = {edge.split("->")[0] for edge in model.circuit} - {"input"}
    assert len(writers) < 4
    for source in sorted(set(graph.sources) - writers):
        mask = torch.ones(graph.n_edges)
        direct = graph.edge_index[f"{source}->logits"]
        mask[direct] = 0.0
        change = problem.forward(batch.clean, batch.replacement, mask) - batch.clean.logits
        assert float(change.abs().max()) > 0.05, f"{source} writes"
        torch.testing.assert_close(change, change[:, :1].expand_as(change), atol=1e-4, rtol=0)


@each_model
def test_prompts_come_in_batches_of_the_size_asked_for(name: str) -> None:
    model = planted(name)
    batches = model.problem("counterfactual").prepare(12)
    assert [len(batch.answers) for batch in batches] == [12, 12, 8]
    assert torch.equal(torch.cat([batch.clean.tokens for batch in batches]), model.clean)
    assert [a for batch in batches for a in batch.wrong_answers] == model.wrong_answers


@each_model
def test_the_same_seed_makes_the_same_model(name: str) -> None:
    again = MODELS[name]()
    assert again.model.weights_hash == planted(name).model.weights_hash
    assert torch.equal(again.clean, planted(name).clean)


def test_an_ablation_under_which_the_circuit_is_another_is_refused() -> None:
    with pytest.raises(RequestError, match="is not that of zero ablation; it is known for: counterfactual"):
        planted("conjunction").problem("zero")


@each_model
def test_without_a_norm_eap_is_the_gradient_of_the_masks(name: str) -> None:
    model = planted(name)
    problem, eap = model.problem("counterfactual"), methods.get("eap")
    found = eap.discover(problem, parse_settings(eap.Settings, {}), 0, silent).scores
    (batch,) = problem.prepare(len(model.clean))
    gradient = mask_gradient(problem, batch).mean(0).abs()
    torch.testing.assert_close(found, gradient, atol=1e-4, rtol=1e-4)


def mask_gradient(problem: Problem, batch: Batch) -> Tensor:
    """Return the gradient of the logit differences where all edges are kept, [B, n_edges]."""
    mask = torch.ones(len(batch.answers), problem.forward.graph.n_edges, requires_grad=True)
    logits = problem.forward(batch.clean, batch.replacement, mask)
    gaps = logits.gather(1, torch.tensor(batch.answers)) - logits.gather(1, torch.tensor(batch.wrong_answers))
    (gradient,) = torch.autograd.grad(gaps.sum(), mask)
    return gradient


def attribution(name: str) -> Tensor:
    """Return the size of every edge's first-order score, its mean over prompts, [n_edges]."""
    model = planted(name)
    problem = model.problem("counterfactual")
    (batch,) = problem.prepare(len(model.clean))
    return mask_gradient(problem, batch).abs().mean(0)


def test_the_conjunction_has_no_gradient_where_it_matters_and_one_where_it_does_not() -> None:
    """Every pair is there in both directions, so that these are the gradients at the corrupt prompts too."""
    model, gradient = planted("conjunction"), attribution("conjunction")
    *upstream, last = model.graph.indices(model.circuit)
    assert gradient[upstream].max() < 1e-5
    assert gradient[last] > 5
    assert gradient[model.graph.edge_index["input->m1"]] > 1


@pytest.mark.parametrize("name", ["copying", "lookup"])
def test_the_other_models_have_a_gradient_for_every_planted_edge_and_no_other(name: str) -> None:
    model, gradient = planted(name), attribution(name).numpy()
    where = model.graph.indices(model.circuit)
    assert gradient[where].min() > 0.1
    assert np.delete(gradient, where).max() < 1e-3


def test_where_the_conjunction_says_yes_every_edge_is_needed_and_where_no_any_one_is_enough() -> None:
    model = planted("conjunction")
    problem = model.problem("counterfactual")
    (batch,) = problem.prepare(len(model.clean))
    kl = divergence(problem, batch)
    *upstream, last = model.graph.indices(model.circuit)
    circuit = torch.zeros(model.graph.n_edges)
    circuit[[*upstream, last]] = 1.0
    for i in upstream:
        without = circuit.clone()
        without[i] = 0.0
        yes, no = kl(without).unflatten(0, (-1, 2)).unbind(-1)
        assert float(yes.min()) > 5
        assert float(no.max()) < NOTHING
