"""The masked forward against a naive reference that patches edge by edge with hooks, for every family."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.circuits.graph import Graph, Qkv
from engine.forward.masked import ConstantsFrom, MaskedForward, Replacement, repeated
from engine.models import Model, load_model
from tests.reference import naive_logits, open_hooks, source_values
from tests.tiny import FAMILIES, LENGTH, N_WORDS, save_tiny, save_ungrouped

TOLERANCE = 1e-4
START = 2  # clean and corrupt are equal before


@dataclass(frozen=True)
class Case:
    """A tiny model, its reference with hooks, and a batch of pairs."""

    model: Model
    hooked: Any
    clean: Tensor
    corrupt: Tensor


@pytest.fixture(scope="module")
def case_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    root = tmp_path_factory.mktemp("families")

    @cache
    def make(family: str) -> Case:
        folder = save_tiny(FAMILIES[family], root / family)
        model = load_model(str(folder), device="cpu")
        grouped = model.shape.n_kv_heads != model.shape.n_heads
        hooked = (
            load_model(str(save_ungrouped(folder, root / f"{family}-wide")), device="cpu")
            if grouped
            else model
        )
        generator = torch.Generator().manual_seed(1)
        clean = torch.randint(1, N_WORDS, (3, LENGTH), generator=generator)
        corrupt = clean.clone()
        for position in (START, 4):
            corrupt[:, position] = torch.randint(1, N_WORDS, (3,), generator=generator)
        return Case(model, open_hooks(hooked.bridge), clean, corrupt)

    return make


each_family = pytest.mark.parametrize("family", FAMILIES)
each_graph = pytest.mark.parametrize("qkv", ["split", "merged"])


def interchange(case: Case, graph: Graph, mask: Tensor, start: int = START) -> Tensor:
    run = case.model.transformer.run
    replacement = Replacement.from_run(run(case.corrupt, start))
    return MaskedForward(case.model.transformer, graph)(run(case.clean, start), replacement, mask)


@each_family
@each_graph
def test_keeping_everything_is_the_model(case_of: Callable[[str], Case], family: str, qkv: Qkv) -> None:
    case = case_of(family)
    graph = case.model.shape.graph(qkv)
    expected = case.hooked(case.clean)[:, -1]
    torch.testing.assert_close(
        interchange(case, graph, torch.ones(graph.n_edges)), expected, atol=TOLERANCE, rtol=0
    )


@each_family
@each_graph
def test_ablating_everything_is_the_corrupt_run(
    case_of: Callable[[str], Case], family: str, qkv: Qkv
) -> None:
    case = case_of(family)
    graph = case.model.shape.graph(qkv)
    expected = case.hooked(case.corrupt)[:, -1]
    torch.testing.assert_close(
        interchange(case, graph, torch.zeros(graph.n_edges)), expected, atol=TOLERANCE, rtol=0
    )


@each_family
@each_graph
@pytest.mark.parametrize("per_example", [False, True])
@pytest.mark.parametrize("kind", ["soft", "binary"])
def test_random_masks_equal_edge_by_edge_patching(
    case_of: Callable[[str], Case], family: str, qkv: Qkv, per_example: bool, kind: str
) -> None:
    case = case_of(family)
    graph = case.model.shape.graph(qkv)
    shape = (3, graph.n_edges) if per_example else (graph.n_edges,)
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(2))
    mask = mask.round() if kind == "binary" else mask
    values = source_values(case.hooked, graph, case.corrupt)
    expected = naive_logits(case.hooked, graph, case.clean, values, mask)
    assert (expected - case.hooked(case.clean)[:, -1]).abs().max() > 0.05, "the mask must matter"
    for start in (0, START):
        torch.testing.assert_close(interchange(case, graph, mask, start), expected, atol=TOLERANCE, rtol=0)


@each_family
@each_graph
@pytest.mark.parametrize("per_example", [False, True])
def test_mask_gradients_equal_autograd_through_the_reference(
    case_of: Callable[[str], Case], family: str, qkv: Qkv, per_example: bool
) -> None:
    case = case_of(family)
    graph = case.model.shape.graph(qkv)
    generator = torch.Generator().manual_seed(3)
    mask = torch.rand(
        (3, graph.n_edges) if per_example else (graph.n_edges,), generator=generator
    ).requires_grad_()
    weights = torch.randn(3, case.model.shape.d_vocab, generator=generator)
    values = source_values(case.hooked, graph, case.corrupt)
    expected = torch.autograd.grad(
        (naive_logits(case.hooked, graph, case.clean, values, mask) * weights).sum(), mask
    )
    found = torch.autograd.grad((interchange(case, graph, mask) * weights).sum(), mask)
    assert expected[0].abs().max() > 0.1
    torch.testing.assert_close(found[0], expected[0], atol=TOLERANCE, rtol=TOLERANCE)


def constants_of(case: Case, positions: int) -> list[Tensor]:
    """Return random constants, as in `Replacement`: shared over positions (1), or one per position."""
    shape, generator = case.model.shape, torch.Generator().manual_seed(4)
    sizes = [
        (1, positions, shape.d_model),
        (shape.n_layers, shape.n_heads, 1, positions, shape.d_head),
        (shape.n_layers, 1, positions, shape.d_model),
    ]
    drawn = [torch.randn(size, generator=generator) for size in sizes]
    centred = [case.model.transformer.centre(c) if c.shape[-1] == shape.d_model else c for c in drawn]
    return [c.requires_grad_() for c in centred]


def constants_case(
    case: Case, mask: Tensor, constants: list[Tensor], constants_from: ConstantsFrom = "all"
) -> tuple[Tensor, Tensor]:
    """Return the logits and those of the reference; the first position is never ablated."""
    transformer, graph = case.model.transformer, case.model.shape.graph()
    logits = MaskedForward(transformer, graph)(
        transformer.run(case.clean, 1),
        Replacement(constants[0], constants[1], constants[2]),
        mask,
        constants_from,
    )
    own = source_values(case.hooked, graph, case.clean)
    values = {name: torch.cat([own[name][:, :1], c], 1) for name, c in _named(case, graph, constants).items()}
    return logits, naive_logits(case.hooked, graph, case.clean, values, mask, constants_from)


def compare_gradients(case: Case, found: Tensor, expected: Tensor, leaves: list[Tensor]) -> None:
    """Compare the gradients of a random sum of the logits."""
    transformer, d_model = case.model.transformer, case.model.shape.d_model
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(5))
    pairs = (torch.autograd.grad((logits * weights).sum(), leaves) for logits in (found, expected))
    for one, other in zip(*pairs, strict=True):
        if one.shape[-1] == d_model:
            one, other = transformer.centre(one), transformer.centre(other)
        torch.testing.assert_close(one, other, atol=TOLERANCE, rtol=TOLERANCE)


@each_family
@pytest.mark.parametrize("positions", [1, LENGTH - 1])
@pytest.mark.parametrize("per_example", [False, True])
@pytest.mark.parametrize("constants_from", ["all", "off"])
def test_constants_and_their_gradients_equal_the_reference(
    case_of: Callable[[str], Case],
    family: str,
    positions: int,
    per_example: bool,
    constants_from: ConstantsFrom,
) -> None:
    """Constants shared over positions and one per position, from all edges and from those off alone."""
    case = case_of(family)
    shape = (case.model.shape.graph().n_edges,)
    mask = mixed_mask((3, *shape) if per_example else shape).requires_grad_()
    constants = constants_of(case, positions)
    logits, expected = constants_case(case, mask, constants, constants_from)
    torch.testing.assert_close(logits, expected, atol=TOLERANCE, rtol=0)
    compare_gradients(case, logits, expected, [mask, *constants])


def mixed_mask(shape: tuple[int, ...]) -> Tensor:
    """Return a mask whose edges are off, nearly off, in between and kept."""
    generator = torch.Generator().manual_seed(6)
    kinds = torch.randint(0, 4, shape, generator=generator)
    values = torch.rand(shape, generator=generator)
    return torch.where(kinds == 1, 9e-4 * values, torch.where(kinds == 2, values, (kinds == 3).float()))


@pytest.mark.parametrize("constants_from", ["all", "off"])
def test_constants_learn_the_same_where_no_gradient_goes_to_the_mask(
    case_of: Callable[[str], Case], constants_from: ConstantsFrom
) -> None:
    case = case_of("gpt2")
    mask, constants = mixed_mask((case.model.shape.graph().n_edges,)), constants_of(case, 1)
    compare_gradients(case, *constants_case(case, mask, constants, constants_from), constants)


def test_whole_masks_teach_constants_the_same_by_either_rule(case_of: Callable[[str], Case]) -> None:
    case = case_of("gpt2")
    mask, constants = mixed_mask((3, case.model.shape.graph().n_edges)).round(), constants_of(case, 1)
    logits = [constants_case(case, mask, constants, rule)[0].sum() for rule in get_args(ConstantsFrom)]
    one, other = (torch.autograd.grad(x, constants) for x in logits)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_only_constants_have_the_rule_of_edges_that_are_off(case_of: Callable[[str], Case]) -> None:
    case = case_of("gpt2")
    run, graph = case.model.transformer.run, case.model.shape.graph()
    own = Replacement.from_run(run(case.corrupt))
    with pytest.raises(ValueError, match="is for constants"):
        MaskedForward(case.model.transformer, graph)(run(case.clean), own, torch.ones(graph.n_edges), "off")


@pytest.mark.parametrize("shared", [False, True])
def test_several_masks_per_prompt_are_prompts_one_after_the_other(
    case_of: Callable[[str], Case], shared: bool
) -> None:
    case = case_of("qwen2")
    graph, run, times = case.model.shape.graph(), case.model.transformer.run, 4
    clean = run(case.clean, START)
    replacement = Replacement.from_run(run(case.corrupt, START))
    if shared:
        stream, heads, mlps = (x.detach() for x in constants_of(case, LENGTH - START))
        replacement = Replacement(stream, heads, mlps)
    masks = mixed_mask((3, times, graph.n_edges))
    forward = MaskedForward(case.model.transformer, graph)
    rows, values = repeated(clean, replacement, times)
    assert (values.heads is replacement.heads) == shared
    found = forward(rows, values, masks.flatten(0, 1)).unflatten(0, (3, times))
    torch.testing.assert_close(rows.logits.unflatten(0, (3, times))[:, -1], clean.logits)
    for i in range(times):
        torch.testing.assert_close(found[:, i], forward(clean, replacement, masks[:, i]))


def _named(case: Case, graph: Graph, constants: list[Tensor]) -> dict[str, Tensor]:
    """Return constants as what sources write, name -> [B, LENGTH - 1, D], through the model's own weights."""
    state = case.hooked.state_dict()
    stream, heads, mlps = (c.expand(*c.shape[:-3], 3, LENGTH - 1, c.shape[-1]) for c in constants)
    named = {"input": stream}
    for layer in range(graph.n_layers):
        out = state[f"blocks.{layer}.attn.o.weight"]
        out = (out if case.model.shape.family == "gpt2" else out.T).unflatten(0, (graph.n_heads, -1))
        named |= {f"a{layer}.h{h}": heads[layer, h] @ out[h] for h in range(graph.n_heads)}
        named[f"m{layer}"] = mlps[layer]
    return named


@pytest.mark.parametrize("grad", [True, False])
def test_gradient_after_another_call_is_refused(case_of: Callable[[str], Case], grad: bool) -> None:
    case = case_of("gpt2")
    graph = case.model.shape.graph()
    run = case.model.transformer.run
    forward = MaskedForward(case.model.transformer, graph)
    replacement = Replacement.from_run(run(case.corrupt, START))
    mask = torch.ones(graph.n_edges, requires_grad=True)
    first = forward(run(case.clean, START), replacement, mask)
    with torch.set_grad_enabled(grad):
        forward(run(case.clean, START), replacement, mask)
    with pytest.raises(RuntimeError, match="before the next masked forward"):
        first.sum().backward()


def test_bfloat16_is_as_near_as_the_model_itself(case_of: Callable[[str], Case]) -> None:
    """The masked forward in bfloat16 strays from float32 hardly further than the plain model does."""
    case = case_of("llama")
    model = load_model(case.model.id, device="cpu", dtype="bfloat16")
    graph = model.shape.graph()
    mask = torch.rand(graph.n_edges, generator=torch.Generator().manual_seed(5))
    run = model.transformer.run
    clean = run(case.clean, START)
    found = MaskedForward(model.transformer, graph)(
        clean, Replacement.from_run(run(case.corrupt, START)), mask
    )
    plain = (clean.logits.float() - case.model.transformer.run(case.clean).logits).abs().mean()
    assert found.dtype == torch.bfloat16
    assert (found.float() - interchange(case, graph, mask)).abs().mean() < 3 * plain


def test_golden_activations_of_a_third_party(shared_data: Path) -> None:
    """Attention, residual stream and logits of a letter sorter as another program computed them."""
    folder = shared_data / "models" / "gpt-nano-sort"
    golden = json.loads((folder / "golden-t0-partials.json").read_text())
    tokens, pattern, logits = (_golden(golden[name]) for name in ("idx", "attSm", "lm_head"))
    model = load_model(str(folder), device="cpu")
    run = model.transformer.run(tokens.long(), patterns=True)
    close = partial(torch.testing.assert_close, atol=1e-5, rtol=1e-5)
    close(run.patterns[0].transpose(0, 1), pattern)
    close(run.logits, logits[:, -1])
    for layer in range(model.shape.n_layers):
        stream = model.transformer.centre(_golden(golden[f"block{layer}"]))
        close(run.residual[layer + 1], stream)


def _golden(array: dict[str, Any]) -> Tensor:
    values = np.frombuffer(base64.b64decode(array["data"]), dtype=array["dtype"].removeprefix("torch."))
    return torch.from_numpy(values.copy()).view(array["shape"])
