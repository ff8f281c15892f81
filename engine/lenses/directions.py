"""Directions in the stream before a layer, random or aligned with a linear lens, and changes along them."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from engine.lenses.base import all_places
from engine.lenses.streams import read_streams
from engine.lenses.texts import Texts
from engine.models.transformer import Transformer
from engine.progress import Report

_BATCH = 2**10  # positions at once
_MOST = 8  # batches that a covariance is taken from, at most
_RIDGE = 3e-4
_linalg: Any = cast("Any", torch.linalg)  # has no types


@dataclass(frozen=True)
class Spread:
    """Mean and covariance of a stream.

    Attributes:
        mean: μ, [D].
        factor: A, lower triangular, Σ + 3e-4 = A Aᵀ, [D, D].
        length: root mean square length of a deviation from μ, √tr Σ.
    """

    mean: Tensor
    factor: Tensor
    length: float


def spreads(transformer: Transformer, texts: Texts, report: Report) -> list[Spread]:
    """Return the mean and covariance of the stream before every layer, over all positions of texts."""
    parts = texts.parts(_BATCH)[:_MOST]
    places, d = all_places(transformer.shape, False), transformer.shape.d_model
    total = torch.zeros((len(places), d), dtype=torch.float64)
    products, n = torch.zeros((len(places), d, d), dtype=torch.float64), 0
    for i, part in enumerate(parts):
        report(i, len(parts), "covariances of streams")
        rows = read_streams(transformer, part.tokens, places).flat(part.counted)[0].double().cpu()
        total, n = total + rows.sum(1), n + rows.shape[1]
        products.baddbmm_(rows.mT, rows)
    by_layer, like = list[Spread](), transformer.embedding
    for mean, product in zip(total / n, products / n, strict=True):
        covariance = product - torch.outer(mean, mean)
        factor: Tensor = _linalg.cholesky(covariance + _RIDGE * torch.eye(d, dtype=torch.float64))
        length = float(covariance.trace().clamp_min(1e-12).sqrt())
        by_layer.append(Spread(mean.to(like), factor.to(like), length))
    return by_layer


def random_directions(spread: Spread, n: int, generator: torch.Generator, unit: bool = True) -> Tensor:
    """Return draws from N(0, Σ), [n, D], normalised to length 1 if `unit`."""
    drawn = torch.randn((n, len(spread.mean)), generator=generator).to(spread.factor) @ spread.factor.T
    return drawn / _lengths(drawn) if unit else drawn


def aligned(transformer: Transformer, spread: Spread, weight: Tensor) -> Tensor:
    """Return the directions aligned with a linear lens, by falling singular value, [D, D] rows of length 1.

    Args:
        weight: W [D, D] of the lens h + W h.
    """
    whole = torch.eye(len(weight), device=weight.device) + transformer.centre(weight.T).T
    rows: Tensor = _linalg.svd(whole @ spread.factor.float()).Vh
    directions = transformer.centre(rows @ spread.factor.float().T)
    return (directions / _lengths(directions).clamp_min(1e-12)).to(spread.factor)


def _lengths(rows: Tensor) -> Tensor:
    """Return the length of each row, [n, 1]."""
    return _linalg.vector_norm(rows, dim=-1, keepdim=True)


def orthonormal(directions: Tensor) -> Tensor:
    """Return orthonormal rows with the same span as directions [n, D]."""
    rows: Tensor = _linalg.qr(directions.float().T).Q.T
    return rows.to(directions)


def projected(h: Tensor, mean: Tensor, directions: Tensor) -> Tensor:
    """Return streams [B, D] with the deviation from the mean along each direction removed, [n, B, D]."""
    along = (h - mean) @ directions.T  # [B, n]
    return h - along.T.unsqueeze(-1) * directions.unsqueeze(1)


def resampled(h: Tensor, basis: Tensor, orders: Tensor) -> Tensor:
    """Return streams with their part in a subspace taken from other texts, [k, B, D].

    Args:
        h: the streams, [B, D].
        basis: orthonormal rows that span the subspace, [n, D].
        orders: indices of the other texts, [k, B], for k variants.
    """
    return h + (h[orders] - h) @ basis.T @ basis


def derangement(n: int, generator: torch.Generator) -> Tensor:
    """Return a random permutation of n elements without fixed points."""
    order, deranged = torch.randperm(n, generator=generator), torch.empty(n, dtype=torch.long)
    deranged[order] = order.roll(1)
    return deranged
