"""Hand-made weights of a small model without norm, in a residual stream of named parts.

Initially, every head and every MLP is a distractor with random weights, which reads every part and writes
only to the part "aside". That part adds the same to all logits, so it changes logits, but no probability and
no logit difference. The weights of a planted head or MLP unit then replace the random ones, and read and
write only the given parts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.models.model import Model
from engine.models.native import model_from_native

ASIDE = "aside"
ASIDE_SIZE = 6


@dataclass(frozen=True)
class Sizes:
    """Sizes of a planted model, except for width and vocabulary, which follow from its parts and tokens."""

    n_layers: int
    n_heads: int
    d_head: int
    d_mlp: int
    n_ctx: int


class Weights:
    """The weights of a planted model, to be filled in step by step.

    Args:
        sizes: sizes of the model.
        parts: names of the parts of the residual stream, with their dimensions; "aside" is added.
        tokens: the vocabulary.
        seed: seed of the distractors.
    """

    def __init__(self, sizes: Sizes, parts: Mapping[str, int], tokens: Sequence[str], seed: int) -> None:
        self.sizes, self.tokens = sizes, list(tokens)
        self.token_ids = {token: i for i, token in enumerate(tokens)}
        self._parts: dict[str, slice] = {}
        width = 0
        for name, size in {**parts, ASIDE: ASIDE_SIZE}.items():
            self._parts[name] = slice(width, width + size)
            width += size
        self.width = width
        self.state = self._distractors(torch.Generator().manual_seed(seed))

    def embed(self, token: str, part: str, index: int, value: float = 1.0) -> None:
        """Set one dimension of a part in a token's embedding to a value."""
        self.state["embed.weight"][self.token_ids[token], self._parts[part].start + index] = value

    def unembed(self, token: str, part: str, index: int, gain: float) -> None:
        """Set a token's logit to the value in one dimension of a part, times a gain."""
        self.state["unembed.weight"][self.token_ids[token], self._parts[part].start + index] = gain

    def head(
        self, layer: int, head: int, query: str, key: str, value: str, into: str, sharpness: float
    ) -> None:
        """Plant a head that attends to positions where `key` matches `query`, and copies `value` to `into`.

        Parts of equal size are compared, and copied, dimension by dimension. With one-hot parts, the score is
        `sharpness` where they match and 0 elsewhere.
        """
        scale = sharpness * self.sizes.d_head**0.5
        rows = slice(head * self.sizes.d_head, (head + 1) * self.sizes.d_head)
        for kind, part, gain in (("q", query, scale), ("k", key, 1.0), ("v", value, 1.0)):
            self.state[f"blocks.{layer}.attn.{kind}.weight"][rows] = gain * self._picked(part)
        self.state[f"blocks.{layer}.attn.o.weight"][:, rows] = self._picked(into).T

    def unit(
        self, layer: int, unit: int, reads: Mapping[str, float], bias: float, writes: Mapping[int, float]
    ) -> None:
        """Plant one ReLU unit of an MLP.

        Args:
            layer, unit: indices of layer and unit.
            reads: input weights by part, each on the part's first dimension.
            bias: bias before the ReLU.
            writes: output weights by dimension of the part "answer".
        """
        name, answer = f"blocks.{layer}.mlp", self._parts["answer"].start
        self.state[f"{name}.in.weight"][unit] = 0.0
        self.state[f"{name}.out.weight"][:, unit] = 0.0
        for part, weight in reads.items():
            self.state[f"{name}.in.weight"][unit, self._parts[part].start] = weight
        self.state[f"{name}.in.bias"][unit] = bias
        for index, weight in writes.items():
            self.state[f"{name}.out.weight"][answer + index, unit] = weight

    def always(self, layer: int, index: int, value: float) -> None:
        """Add a constant output of an MLP to one dimension of the part "answer"."""
        self.state[f"blocks.{layer}.mlp.out.bias"][self._parts["answer"].start + index] = value

    def model(self, name: str) -> Model:
        """Return the model."""
        from transformer_lens.config import TransformerBridgeConfig
        from transformer_lens.model_bridge.sources.native import boot

        sizes = self.sizes
        config = TransformerBridgeConfig(
            d_model=self.width,
            d_head=sizes.d_head,
            n_layers=sizes.n_layers,
            n_ctx=sizes.n_ctx,
            n_heads=sizes.n_heads,
            d_vocab=len(self.tokens),
            d_mlp=sizes.d_mlp,
            act_fn="relu",
            normalization_type=None,
            init_weights=False,
        )
        bridge = boot(config)
        bridge.load_state_dict(self.state)
        bridge.requires_grad_(False)
        return model_from_native(name, bridge)

    def _picked(self, part: str) -> Tensor:
        """Return the matrix [d_head, width] that selects a part of the stream."""
        where, picked = self._parts[part], torch.zeros(self.sizes.d_head, self.width)
        picked[range(where.stop - where.start), range(where.start, where.stop)] = 1.0
        return picked

    def _distractors(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the random weights of all distractors, under the bridge's names."""
        sizes, width, aside = self.sizes, self.width, self._parts[ASIDE]
        rows = sizes.n_heads * sizes.d_head

        def random(*shape: int, scale: float = 0.5) -> Tensor:
            return scale * torch.randn(shape, generator=generator)

        def to_aside(n: int) -> Tensor:
            out = torch.zeros(width, n)
            out[aside] = random(ASIDE_SIZE, n)
            return out

        state = {
            "embed.weight": to_aside(len(self.tokens)).T.contiguous(),
            "pos_embed.weight": to_aside(sizes.n_ctx).T.contiguous(),
            "unembed.weight": torch.zeros(len(self.tokens), width),
            "unembed.bias": torch.zeros(len(self.tokens)),
        }
        state["unembed.weight"][:, aside] = random(ASIDE_SIZE)
        for layer in range(sizes.n_layers):
            attention, mlp = f"blocks.{layer}.attn", f"blocks.{layer}.mlp"
            for kind in "qkv":
                state[f"{attention}.{kind}.weight"] = random(rows, width)
                state[f"{attention}.{kind}.bias"] = torch.zeros(rows)
            state[f"{attention}.o.weight"], state[f"{attention}.o.bias"] = to_aside(rows), torch.zeros(width)
            state[f"{mlp}.in.weight"], state[f"{mlp}.in.bias"] = (
                random(sizes.d_mlp, width),
                random(sizes.d_mlp),
            )
            state[f"{mlp}.out.weight"], state[f"{mlp}.out.bias"] = to_aside(sizes.d_mlp), torch.zeros(width)
        return state
