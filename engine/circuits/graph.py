"""The computational graph of a model: the nodes that write to the residual stream, and those that read it.

Nodes and edges as in Edge Pruning, auto-circuit and EAP-IG (Bhaskar et al. 2024; Hanna et al. 2024).
Sources are `input` (token plus position embedding), every attention head and every MLP. Readers are the
q, k and v input of every head (or one input per head where they are merged), every MLP's input, and
`logits`. An edge exists where the source is computed before the reader, which for a model of L layers
and H heads with separate q, k, v and serial blocks makes

    3 H² L(L-1)/2 + 3 H L(L+1)/2 + H (L(L+1)/2 + L) + (L+1)(L+2)/2     edges.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from engine.arrays import Flags, Integers, Numbers
from engine.errors import RequestError

if TYPE_CHECKING:
    import networkx as nx

Qkv = Literal["split", "merged"]


@dataclass(frozen=True)
class Graph:
    """Nodes and edges of a decoder-only transformer, in computation order.

    Args:
        n_layers: number of blocks.
        n_heads: query heads per block; with grouped queries every query head has its own k and v reader.
        qkv: "split" gives a head three readers (`a3.h2<q>`, `<k>`, `<v>`), "merged" one (`a3.h2`).
        parallel: the MLP of a block reads what the attention of that block reads (GPT-NeoX), so it does
            not see the block's own heads.
    """

    n_layers: int
    n_heads: int
    qkv: Qkv = "split"
    parallel: bool = False

    @cached_property
    def sources(self) -> list[str]:
        """Names of the writing nodes: `input`, then per layer its heads and its MLP."""
        names = ["input"]
        for layer in range(self.n_layers):
            names += [f"a{layer}.h{head}" for head in range(self.n_heads)]
            names.append(f"m{layer}")
        return names

    @cached_property
    def readers(self) -> list[str]:
        """Names of the reading inputs: per layer all q, all k, all v (or heads), the MLP; then `logits`."""
        kinds = ("<q>", "<k>", "<v>") if self.qkv == "split" else ("",)
        names: list[str] = []
        for layer in range(self.n_layers):
            names += [f"a{layer}.h{head}{kind}" for kind in kinds for head in range(self.n_heads)]
            names.append(f"m{layer}")
        return [*names, "logits"]

    @property
    def attention_readers(self) -> int:
        """Number of attention readers in one layer: 3 H split, H merged."""
        return self.n_heads * (3 if self.qkv == "split" else 1)

    def sources_before(self, layer: int) -> int:
        """Return how many sources the attention readers of `layer` see (all earlier layers and `input`)."""
        return 1 + layer * (self.n_heads + 1)

    def sources_before_mlp(self, layer: int) -> int:
        """Return how many sources the MLP reader of `layer` sees."""
        return self.sources_before(layer) + (0 if self.parallel else self.n_heads)

    @cached_property
    def edges(self) -> Integers:
        """All edges, int64 [n_edges, 2]: (index into `sources`, index into `readers`), ordered by reader."""
        visible: list[int] = []
        for layer in range(self.n_layers):
            visible += [self.sources_before(layer)] * self.attention_readers
            visible.append(self.sources_before_mlp(layer))
        visible.append(len(self.sources))
        sources = np.concatenate([np.arange(n) for n in visible])
        return np.stack([sources, np.repeat(np.arange(len(visible)), visible)], axis=1)

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return len(self.edges)

    @cached_property
    def edge_names(self) -> list[str]:
        """Edge names in the order of `edges`, e.g. `a3.h2->a5.h1<q>`."""
        sources, readers = self.sources, self.readers
        return [f"{sources[source]}->{readers[reader]}" for source, reader in self.edges.tolist()]

    @cached_property
    def edge_index(self) -> dict[str, int]:
        """Position of every edge name in `edge_names`."""
        return {name: i for i, name in enumerate(self.edge_names)}

    @cached_property
    def reader_nodes(self) -> Integers:
        """Node each reader belongs to, int64 [n_readers]: an index into `nodes`."""
        position = {name: i for i, name in enumerate(self.nodes)}
        return np.array([position[reader.split("<")[0]] for reader in self.readers], dtype=np.int64)

    @cached_property
    def nodes(self) -> list[str]:
        """All nodes: the sources and `logits`; a source's index here is its index in `sources`."""
        return [*self.sources, "logits"]

    def indices(self, names: Sequence[str]) -> Integers:
        """Return the positions of edge `names`.

        Raises:
            RequestError: a name is no edge of this graph.
        """
        try:
            return np.array([self.edge_index[name] for name in names], dtype=np.int64)
        except KeyError as missing:
            raise RequestError(
                f"no edge {missing} in a graph of {self.n_layers} layers and {self.n_heads} heads with "
                f"qkv={self.qkv}; edges look like '{self.edge_names[-1]}' or '{self.edge_names[0]}'"
            ) from None

    def to_networkx(self, kept: Flags | None = None, scores: Numbers | None = None) -> "nx.MultiDiGraph[str]":
        """Return the graph, or the edges kept, for networkx.

        Args:
            kept: bool [n_edges]; None keeps all.
            scores: float [n_edges], written on the edges as `score`.

        Returns:
            Nodes are the node names (a head's q, k and v edges all lead to the head); each edge has its
            `name` as key and attribute, and its `kind`: q, k, v, head, mlp or logits.
        """
        import networkx as nx  # a graph has it made on demand; the first page does without

        graph: nx.MultiDiGraph[str] = nx.MultiDiGraph(
            n_layers=self.n_layers, n_heads=self.n_heads, qkv=self.qkv, parallel=self.parallel
        )
        chosen = np.arange(self.n_edges) if kept is None else np.flatnonzero(kept)
        for i in chosen:
            source, reader = (int(end) for end in self.edges[i])
            name = self.readers[reader]
            attributes: dict[str, str | float] = {"name": self.edge_names[i], "kind": reader_kind(name)}
            if scores is not None:
                attributes["score"] = float(scores[i])
            graph.add_edge(self.sources[source], name.split("<")[0], key=self.edge_names[i], **attributes)
        return graph


@lru_cache(maxsize=8)
def shared_graph(n_layers: int, n_heads: int, qkv: Qkv, parallel: bool) -> Graph:
    """Return the graph of this shape, cached, since its names take time to make."""
    return Graph(n_layers, n_heads, qkv, parallel)


def reader_kind(reader: str) -> str:
    """Return the kind of a reader by its name: q, k, v, head (merged), mlp or logits."""
    if reader == "logits":
        return "logits"
    if reader.startswith("m"):
        return "mlp"
    return reader[-2] if reader.endswith(">") else "head"
