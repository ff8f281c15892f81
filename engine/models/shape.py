"""The sizes of a model's architecture."""

from dataclasses import dataclass

from engine.circuits.graph import Graph, Qkv, shared_graph


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a decoder-only transformer.

    Attributes:
        family: the Hugging Face model type, e.g. "gpt2".
        n_heads: query heads per layer; `n_kv_heads` key and value heads are shared among them.
        parallel: attention and MLP of a block read the same stream (GPT-NeoX).
    """

    family: str
    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_model: int
    d_head: int
    d_vocab: int
    n_ctx: int
    parallel: bool

    def graph(self, qkv: Qkv = "split") -> Graph:
        """Return the graph of sources and readers of a model of this shape."""
        return shared_graph(self.n_layers, self.n_heads, qkv, self.parallel)
