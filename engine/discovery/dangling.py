"""Dangling edges, which are on no path from `input` to `logits`, for many masks at once.

One sweep over the layers forwards and one backwards is exact, since a graph has no cycles. Every row of masks
is treated on its own. (The authors' code of UGS sums over the rows of a batch for MLPs, so that an edge that
dangles in one row stays if another row has it.)
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from engine.circuits.graph import Graph


@torch.no_grad()
def on_a_path(graph: Graph, masks: Tensor) -> Tensor:
    """Return 1 where an edge lies on a path of edges with a mask above 0 from `input` to `logits`, else 0.

    Args:
        graph: the graph.
        masks: [N, n_edges], not negative.

    Returns:
        [N, n_edges], of the dtype of the masks; each row as by `engine.circuits.circuit.prune_dangling`.
    """
    readers = list(_readers(graph, masks))
    fed = torch.zeros((len(masks), len(graph.nodes)), dtype=masks.dtype, device=masks.device)
    used = torch.zeros_like(fed)
    fed[:, 0] = used[:, -1] = 1
    for weights, nodes in readers:
        # Σ_s m_sr [s is fed] for every reader of a node, all readers of the node together
        seen = torch.einsum("nkrs,ns->nr", weights, fed[:, : weights.shape[-1]])
        fed[:, nodes] = (seen > 0).to(fed)
    for weights, nodes in reversed(readers):
        sources = used[:, : weights.shape[-1]]
        sources += torch.einsum("nkrs,nr->ns", weights, used[:, nodes])
        sources.copy_(sources > 0)
    kept = [
        (used[:, None, nodes, None] * fed[:, None, None, : weights.shape[-1]] * (weights > 0)).flatten(1)
        for weights, nodes in readers
    ]
    return torch.cat(kept, 1)


def _readers(graph: Graph, masks: Tensor) -> Iterator[tuple[Tensor, slice]]:
    """Yield the masks of the edges into R nodes, and the slice of these nodes, in topological order.

    The masks are [N, K, R, n] for K readers per node and n sources, in the order of the edges.
    """
    first, n_heads = 0, graph.n_heads
    kinds = graph.attention_readers // n_heads
    for layer in range(graph.n_layers):
        n = graph.sources_before(layer)
        for kind, readers, sources, place in (
            (kinds, n_heads, n, slice(n, n + n_heads)),
            (1, 1, graph.sources_before_mlp(layer), slice(n + n_heads, n + n_heads + 1)),
        ):
            size = kind * readers * sources
            yield masks[:, first : first + size].view(-1, kind, readers, sources), place
            first += size
    yield masks[:, None, None, first:], slice(len(graph.sources), len(graph.nodes))
