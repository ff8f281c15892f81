"""Models that TransformerLens builds itself: with any norm or none, with MLPs or without."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.sources.native import boot

from engine.circuits.graph import Graph
from engine.errors import CircuitExplorerError, RequestError
from engine.forward.masked import MaskedForward, Replacement
from engine.models.native import model_from_native

TOLERANCE = 1e-5
SIZES: dict[str, Any] = {"d_model": 12, "d_head": 4, "n_layers": 2, "n_ctx": 6, "n_heads": 2, "d_vocab": 11}
WITHOUT_NORM: dict[str, Any] = {"normalization_type": None, "act_fn": "relu", "d_mlp": 7}
KINDS: dict[str, dict[str, Any]] = {
    "no norm": WITHOUT_NORM,
    "no MLP": WITHOUT_NORM | {"attn_only": True},
    "LN": {"normalization_type": "LN"},
    "LNPre": {"normalization_type": "LNPre", "act_fn": "gelu_new"},
    "RMS": {"normalization_type": "RMS", "gated_mlp": True, "act_fn": "silu"},
    "RMSPre, grouped, scaled": {"normalization_type": "RMSPre", "n_key_value_heads": 1, "attn_scale": 3.0},
}

each_kind = pytest.mark.parametrize("kind", KINDS)


def native(**options: Any) -> TransformerBridge:
    """A native model with random weights, biases and gains too."""
    bridge = boot(TransformerBridgeConfig(**SIZES, **options))
    generator = torch.Generator().manual_seed(0)
    state = {
        name: (1.0 if ".ln" in name and name.endswith("weight") else 0.0)
        + 0.4 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in bridge.state_dict().items()
    }
    bridge.load_state_dict(state)
    bridge.requires_grad_(False)
    return bridge


def prompts() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    clean, corrupt = torch.randint(0, SIZES["d_vocab"], (2, 3, SIZES["n_ctx"]), generator=generator)
    return clean, corrupt


def patched(
    bridge: TransformerBridge, graph: Graph, tokens: Tensor, values: dict[str, Tensor], mask: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits [B, V] with every reader's input summed up edge by edge, and what every source wrote.

    `values` replaces what sources write, by name; it may lack those whose edges are all kept.
    """
    state: dict[str, Tensor] = bridge.state_dict()
    network: Any = bridge.original_model
    stream = network.tok_embed(tokens) + state["pos_embed.weight"][: tokens.shape[1]]
    written, biases = {"input": stream}, torch.zeros(graph.n_layers + 1, SIZES["d_model"])

    def read(reader: str, layers_attended: int) -> Tensor:
        total = biases[:layers_attended].sum(0)
        for i in np.flatnonzero(graph.edges[:, 1] == graph.readers.index(reader)):
            source = graph.sources[graph.edges[i, 0]]
            total = total + mask[i] * written[source]
            if source in values:
                total = total + (1 - mask[i]) * values[source]
        return total

    def linear(name: str, x: Tensor, rows: slice = slice(None)) -> Tensor:
        return functional.linear(x, state[f"{name}.weight"][rows], state[f"{name}.bias"][rows])

    hidden = torch.ones(tokens.shape[1], tokens.shape[1]).triu(1).bool()
    for layer, block in enumerate(network.layers):
        name = f"blocks.{layer}.attn"
        for head in range(graph.n_heads):
            rows = slice(head * SIZES["d_head"], (head + 1) * SIZES["d_head"])
            q, k, v = (
                linear(f"{name}.{kind}", block.ln1(read(f"a{layer}.h{head}<{kind}>", layer)), rows)
                for kind in "qkv"
            )
            scores = (q @ k.mT / SIZES["d_head"] ** 0.5).masked_fill(hidden, -torch.inf)
            written[f"a{layer}.h{head}"] = scores.softmax(-1) @ v @ state[f"{name}.o.weight"][:, rows].T
        biases[layer] = state[f"{name}.o.bias"]
        written[f"m{layer}"] = block.mlp(block.ln2(read(f"m{layer}", layer + 1)))
    return network.head(network.ln_out(read("logits", graph.n_layers)))[:, -1], written


@each_kind
def test_its_logits_are_the_bridges(kind: str) -> None:
    bridge, (tokens, _) = native(**KINDS[kind]), prompts()
    found = model_from_native("tiny", bridge).transformer.run(tokens).logits
    torch.testing.assert_close(found, bridge(tokens)[:, -1], atol=TOLERANCE, rtol=0)


def test_without_a_norm_nothing_is_divided_and_an_absent_mlp_writes_zero() -> None:
    transformer = model_from_native("tiny", native(**KINDS["no MLP"])).transformer
    stream = torch.randn(2, 3, SIZES["d_model"])
    assert torch.equal(transformer.rms_reciprocal(stream), torch.ones(2, 3))
    assert not transformer.mlp(1, stream).any()


@pytest.mark.parametrize("kind", ["no norm", "LN"])
def test_masks_and_their_gradients_equal_edge_by_edge_patching(kind: str) -> None:
    bridge, (clean, corrupt) = native(**KINDS[kind]), prompts()
    model = model_from_native("tiny", bridge)
    graph = model.shape.graph()
    generator = torch.Generator().manual_seed(2)
    mask = torch.rand(graph.n_edges, generator=generator).requires_grad_()
    weights = torch.randn(3, SIZES["d_vocab"], generator=generator)
    run = model.transformer.run
    found = MaskedForward(model.transformer, graph)(run(clean), Replacement.from_run(run(corrupt)), mask)
    (found_gradient,) = torch.autograd.grad((found * weights).sum(), mask)

    ones = torch.ones(graph.n_edges)
    plain, values = patched(bridge, graph, corrupt, {}, ones)
    torch.testing.assert_close(plain, bridge(corrupt)[:, -1], atol=TOLERANCE, rtol=TOLERANCE)
    expected, _ = patched(bridge, graph, clean, values, mask)
    (expected_gradient,) = torch.autograd.grad((expected * weights).sum(), mask)
    assert expected_gradient.abs().max() > 0.1
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=TOLERANCE)
    torch.testing.assert_close(found_gradient, expected_gradient, atol=1e-4, rtol=1e-4)


def test_the_hash_is_that_of_the_weights() -> None:
    bridge = native(**WITHOUT_NORM)
    first = model_from_native("tiny", bridge).weights_hash
    assert model_from_native("other", native(**WITHOUT_NORM)).weights_hash == first
    bridge.load_state_dict({k: v + 0.1 for k, v in bridge.state_dict().items()})
    assert model_from_native("tiny", bridge).weights_hash != first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positional_embedding_type": "rotary"}, "rotary positions"),
        ({"attn_scores_soft_cap": 30.0}, "attn_scores_soft_cap"),
        ({"output_logits_soft_cap": 30.0}, "output_logits_soft_cap"),
        ({"attention_dir": "bidirectional"}, "attention_dir=bidirectional"),
        ({"act_fn": "solu"}, "act_fn=solu"),
        ({"normalization_type": "LN", "final_rms": True}, "final_rms"),
    ],
)
def test_what_is_not_covered_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=f"a native model with {message} is refused"):
        model_from_native("tiny", boot(TransformerBridgeConfig(**SIZES, **options)))


def test_a_model_we_cannot_reproduce_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.models.native.activation_function", lambda name: torch.sin)
    with pytest.raises(CircuitExplorerError, match="differs from this model's own"):
        model_from_native("tiny", native(**WITHOUT_NORM))
