"""Typed wrappers of torch functions that lack type hints."""

from typing import cast

import torch
from torch import Tensor


def integers(values: Tensor) -> list[int]:
    """Return the values of an integer tensor [n]."""
    return cast("list[int]", values.tolist())  # pyright: ignore[reportUnknownMemberType]


def dot(first: Tensor, second: Tensor) -> Tensor:
    """Return the dot products over the last dimension."""
    return cast("Tensor", torch.linalg.vecdot(first, second))  # pyright: ignore[reportUnknownMemberType]


def norm(values: Tensor) -> Tensor:
    """Return the Euclidean norm over the last dimension, computed in float32."""
    computed = torch.linalg.vector_norm(values, dim=-1, dtype=torch.float32)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return cast("Tensor", computed)


def seed_globally(seed: int) -> None:
    """Seed torch's global random generators."""
    torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
