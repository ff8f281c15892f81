"""Residual streams for lenses when nodes are ablated, or when the text runs through a circuit.

Ablated nodes write a constant, zero or their mean over texts sampled from the model, from the second position
on, as with all ablations by constants (`engine.ablations.constants`).

The readers of a circuit read different sums. The lens, which is no node of the graph, reads the sum of the
outputs of all sources so far in the circuit's run,

    h_l  =  C_l + Σ_{s before l} (h_s - c_s) ,

where c_s are the replacement values and C_l is the stream with all sources ablated. The last row is the
circuit's own output, which reads only the kept edges to the logits.
"""

import numpy as np
import torch
from torch import Tensor

from engine.ablations.constants import constant_replacer, first_ablated, means, zeros
from engine.circuits.graph import Graph
from engine.forward.liveness import edge_matrix, head_readers, mlp_reader
from engine.forward.masked import Replacement
from engine.lenses.base import Place
from engine.lenses.streams import Streams
from engine.lenses.texts import LENGTH, marks, sample
from engine.models import Model
from engine.models.transformer import Transformer
from engine.progress import Report

_POSITIONS, _SEED = 2**12, 1  # sampled for means


def constants_of(model: Model, ablation: str, report: Report) -> Replacement:
    """Return the replacement values of ablated sources, shared over positions.

    Args:
        ablation: "mean" or "zero".
    """
    if ablation == "zero":
        return zeros(model.transformer)
    length = min(LENGTH, model.shape.n_ctx)
    texts = sample(model.transformer, marks(model), _POSITIONS, length, _SEED, report)
    return means(model.transformer, texts.by_length(), "shared")


class AblatedNodes:
    """A patch that ablates nodes given by name ("a2.h3", "m1"); see `engine.lenses.streams`."""

    def __init__(self, nodes: list[str], constants: Replacement) -> None:
        self.nodes, self.constants = set(nodes), constants

    def heads(self, layer: int, heads: Tensor) -> Tensor:
        """Return head outputs [H, B, S, d], with those of ablated heads replaced."""
        replaced = heads.clone()
        for head in range(len(heads)):
            if f"a{layer}.h{head}" in self.nodes:
                replaced[head, :, _first(heads[head]) :] = self.constants.heads[layer, head]
        return replaced

    def mlp(self, layer: int, written: Tensor) -> Tensor:
        """Return the MLP's output, [B, S, D], or its constant if the MLP is ablated."""
        if f"m{layer}" not in self.nodes:
            return written
        replaced = written.clone()
        replaced[:, _first(written) :] = self.constants.mlps[layer]
        return replaced


@torch.no_grad()
def circuit_streams(
    transformer: Transformer,
    graph: Graph,
    kept: np.ndarray,
    tokens: Tensor,
    constants: Replacement,
    places: list[Place],
) -> Streams:
    """Run tokens [B, S] through a circuit and return the streams at `places`; its logits read `final`.

    Args:
        kept: bool [n_edges], the circuit.
        constants: replacement values of ablated sources, shared over positions.
    """
    run, (b, s) = transformer.run(tokens), tokens.shape
    replacement = _with_first_position(Replacement.from_run(run), constants, tokens)
    before, middle = replacement.streams(transformer)
    matrix = edge_matrix(graph, kept)
    differences = run.input.new_zeros((len(graph.sources), b, s, transformer.shape.d_model))
    differences[0] = run.input - replacement.input
    at: list[Tensor] = []
    attention: list[Tensor] = []
    wanted, n_heads = set(places), graph.n_heads

    def read(base: Tensor, readers: np.ndarray, n: int) -> Tensor:
        """Return the inputs of readers from the first n sources, [readers, B, S, D]."""
        weights = torch.as_tensor(matrix[readers.flatten(), :n]).to(base)
        return base + (weights @ differences[:n].flatten(1)).view(-1, *base.shape)

    for layer, block in enumerate(transformer.blocks):
        n = graph.sources_before(layer)
        if Place(layer) in wanted:
            at.append(before[layer] + differences[:n].sum(0))
        streams = read(before[layer], head_readers(graph, layer), n).flatten(1, 2)
        raw = torch.bmm(streams * transformer.rms_reciprocal(streams).unsqueeze(-1), block.qkv)
        qkv = (raw + block.qkv_bias).view(3, n_heads, b, s, -1)
        heads = transformer.attend(layer, qkv, 0, None)[0]
        attention.append(transformer.written(layer, heads))
        written = torch.bmm((heads - replacement.heads[layer]).flatten(1, 2), block.out)
        differences[n : n + n_heads] = written.view(n_heads, b, s, -1)
        if Place(layer, True) in wanted:
            at.append(middle[layer] + differences[: n + n_heads].sum(0))
        base, first = (before, n) if graph.parallel else (middle, n + n_heads)
        mlp = transformer.mlp(layer, read(base[layer], np.array([mlp_reader(graph, layer)]), first)[0])
        differences[n + n_heads] = mlp - replacement.mlps[layer]
    logits = np.array([len(graph.readers) - 1])
    final = read(before[-1], logits, len(graph.sources))[0]
    return Streams(torch.stack(at), final, torch.stack(attention))


def _with_first_position(own: Replacement, constants: Replacement, tokens: Tensor) -> Replacement:
    """Return constants at every position but the first, where every text keeps its own values."""
    first, standing = first_ablated(tokens), constant_replacer(constants)(tokens, tokens).replacement

    def joined(values: Tensor, constant: Tensor) -> Tensor:
        whole = values.clone()
        whole[..., first:, :] = constant
        return whole

    return Replacement(
        joined(own.input, standing.input),
        joined(own.heads, standing.heads),
        joined(own.mlps, standing.mlps),
    )


def _first(values: Tensor) -> int:
    """Return the first ablated position of values [B, S, x]."""
    return first_ablated(values[..., 0])
