"""A naive masked forward: TransformerLens hooks that patch every reader, edge by edge."""

from typing import Any, Literal

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from engine.circuits.graph import Graph


def open_hooks(bridge: TransformerBridge) -> TransformerBridge:
    """Give every head its own input and output hooks."""
    bridge.enable_compatibility_mode(no_processing=True)
    bridge.set_use_split_qkv_input(True)
    bridge.set_use_attn_result(True)
    bridge.set_use_hook_mlp_in(True)
    return bridge


def source_values(bridge: TransformerBridge, graph: Graph, tokens: Tensor) -> dict[str, Tensor]:
    """Return what every source writes on a plain run, name -> [B, S, D]."""
    written: dict[str, Tensor] = {}
    bridge.run_with_hooks(tokens, fwd_hooks=_catch(graph, written))
    return written


def naive_logits(
    bridge: TransformerBridge,
    graph: Graph,
    tokens: Tensor,
    values: dict[str, Tensor],
    mask: Tensor,
    values_from: Literal["all", "off"] = "all",
) -> Tensor:
    """Return the logits [B, V] at the last position with every reader's input summed up edge by edge.

    Args:
        values: what ablated sources are replaced by, name -> [B, S, D].
        mask: [n_edges] or [B, n_edges], 1 keeps; gradients flow to it and to `values`.
        values_from: gradients flow to `values` through all edges, or only those whose mask is below 1e-3.
    """
    written: dict[str, Tensor] = {}
    biases = [bridge.state_dict().get(f"blocks.{layer}.attn.o.bias") for layer in range(graph.n_layers)]

    def read(reader: str, attention_below: int) -> Tensor:
        total = torch.zeros_like(written["input"])
        for i in _edges_into(graph, reader):
            source = graph.sources[graph.edges[i, 0]]
            m = mask[..., i].reshape(-1, 1, 1)
            value = values[source]
            if values_from == "off":
                value = torch.where(m < 1e-3, value, value.detach())
            total = total + m * written[source] + (1 - m) * value
        return total + sum((b for b in biases[:attention_below] if b is not None), torch.zeros(()))

    def head_hook(layer: int, kind: str) -> Any:
        def hook(x: Tensor, hook: Any) -> Tensor:
            names = [
                f"a{layer}.h{h}" + (f"<{kind}>" if graph.qkv == "split" else "") for h in range(graph.n_heads)
            ]
            return torch.stack([read(name, layer) for name in names], 2)

        return hook

    hooks = _catch(graph, written)
    for layer in range(graph.n_layers):
        hooks += [(f"blocks.{layer}.hook_{kind}_input", head_hook(layer, kind)) for kind in "qkv"]
        below = layer if graph.parallel else layer + 1
        hooks.append((f"blocks.{layer}.hook_mlp_in", lambda x, hook, r=f"m{layer}", n=below: read(r, n)))
    hooks.append(("ln_final.hook_in", lambda x, hook: read("logits", graph.n_layers)))
    return bridge.run_with_hooks(tokens, fwd_hooks=hooks)[:, -1]


def _catch(graph: Graph, written: dict[str, Tensor]) -> list[Any]:
    """Return hooks that write down what every source writes."""

    def keep(name: str) -> Any:
        def hook(x: Tensor, hook: Any) -> None:
            written[name] = x

        return hook

    def keep_heads(layer: int) -> Any:
        def hook(x: Tensor, hook: Any) -> None:
            written.update({f"a{layer}.h{h}": x[:, :, h] for h in range(graph.n_heads)})

        return hook

    hooks: list[Any] = [("blocks.0.hook_resid_pre", keep("input"))]
    for layer in range(graph.n_layers):
        hooks.append((f"blocks.{layer}.attn.hook_result", keep_heads(layer)))
        hooks.append((f"blocks.{layer}.hook_mlp_out", keep(f"m{layer}")))
    return hooks


def _edges_into(graph: Graph, reader: str) -> list[int]:
    index = graph.readers.index(reader)
    return [i for i in range(graph.n_edges) if graph.edges[i, 1] == index]
