"""Names of states, metrics and classes of tokens of traces; without torch, since requests use them too."""

from typing import Literal, get_args

State = Literal["residual", "attention", "mlp", "head"]
Holdout = Literal["random", "relations"]
# Classes of tokens by where they stand to the subject, in the order of tensors (`engine.tracing.prompts`).
TokenClass = Literal["first subject", "middle subject", "last subject", "next", "further", "last"]

CLASSES: tuple[TokenClass, ...] = get_args(TokenClass)
