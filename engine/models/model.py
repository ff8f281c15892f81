"""A loaded model: its frozen transformer, its tokenizer, and TransformerLens' bridge to it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from engine.models.tokens import Tokens
from engine.models.transformer import Transformer

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@dataclass(frozen=True, eq=False)
class Model(Tokens):
    """A model ready for use.

    Attributes:
        weights_hash: sha256 of its weight files, in hexadecimal.
        bridge: TransformerLens' view of the model, for naive reference computations.
        transformer: the frozen weights and arithmetic of all fast paths.
    """

    weights_hash: str
    bridge: "TransformerBridge" = field(repr=False)
    transformer: Transformer = field(repr=False)
    device: torch.device
    dtype: torch.dtype
