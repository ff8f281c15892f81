"""Causal faithfulness: does a lens react to a change of the stream as the model does? (Li & Janson 2024, 5)

The stream h before layer l is changed at the last position of a text, h → h'. The resulting changes of the
predictions of the model (p → p') and of the lens (q → q') are compared over many directions v of length 1.
All texts are changed at the same position: texts that are long enough are cut to the median number of
positions.

    projection   h' = h - ((h - μ)·v) v
    steering     h' = h + ε s v ,  ε ~ N(0, 1)
    resample     h' = h - P (h - μ) + P (h₂ - μ) ,  P onto the first n aligned directions, h₂ of another text

Directions are random, v ~ N(0, Σ), or aligned with the lens: right singular vectors r of W A, where
Σ + 3e-4 = A Aᵀ and W is the lens as a linear map, mapped back to the stream as A r. The step s is the root
mean square length of noise of covariance Σ, scaled so that it costs the model 0.2 nats, by ten at most. Two
numbers measure the similarity of the reactions:

    magnitude    the correlation of log E KL(p ‖ p') and log E KL(q ‖ q') over directions, E over texts
                 (of resample: over texts, without E)
    direction    the mean p-weighted correlation of log p' - log p and log q' - log q over the vocabulary
                 (similarity in the Aitchison geometry)

Differences from the authors' code: directions are rows of Vᴴ, not columns; they are mapped back by A;
projections do not accumulate over a batch; steps have the units of the stream.
"""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from engine.lenses.base import Lens, Parameters, Place, at
from engine.lenses.directions import (
    Spread,
    aligned,
    derangement,
    orthonormal,
    projected,
    random_directions,
    resampled,
    spreads,
)
from engine.lenses.settings import LensTraining
from engine.lenses.texts import Texts
from engine.metrics import RESAMPLES, Summary, estimate
from engine.models.transformer import Run, Transformer
from engine.progress import Report, part_of

TESTED = {"tuned": "tuned", "oca": "linear-oca"}  # lens -> the linear map whose directions are its own
RESAMPLED = (5, 10, 20, 50, 100)  # numbers of aligned directions
DERANGEMENTS = 4
TARGET_KL = 0.2
_ELEMENTS = 2**23  # logits at once
_HALVINGS = 14
_LEAST = 1e-12  # KL whose logarithm is still taken


class Stand:
    """The stream before one layer at the last position of B texts, from which the model continues.

    Attributes:
        h: [B, D].
    """

    def __init__(self, transformer: Transformer, run: Run, layer: int) -> None:
        self.transformer, self.run, self.layer = transformer, run, layer
        self.h = run.residual[layer][:, 0]
        self.log_p = run.logits.float().log_softmax(-1)

    def of_model(self, streams: Tensor) -> Tensor:
        """Return log-probabilities [n, B, V] of the model with the stream replaced by [n, B, D]."""
        prefix = _Repeated(self.run.prefix, len(streams))
        logits = self.transformer.finish(
            streams.flatten(0, 1).unsqueeze(1), self.layer, self.run.start, prefix
        )
        return logits.float().log_softmax(-1).view(*streams.shape[:2], -1)

    def of_lens(self, lens: Lens, parameters: Parameters, streams: Tensor) -> Tensor:
        """Return log-probabilities [n, B, V] of a lens, given its parameters at this place alone."""
        final = lens.final(self.transformer, parameters, [Place(self.layer)], streams.unsqueeze(0))[0]
        return self.transformer.unembed(final).float().log_softmax(-1)

    def reactions(self, lens: Lens, parameters: Parameters, streams: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return KL(p ‖ p'), KL(q ‖ q') and the similarity of the changes, [n, B] each."""
        log_q = self.of_lens(lens, parameters, self.h.unsqueeze(0))[0]
        parts: list[list[Tensor]] = [[], [], []]
        for some in torch.split(streams, self._at_once()):
            p, q = self.of_model(some), self.of_lens(lens, parameters, some)
            values = (_kl(self.log_p, p), _kl(log_q, q), similarity(self.log_p, p - self.log_p, q - log_q))
            for part, value in zip(parts, values, strict=True):
                part.append(value)
        model_kl, lens_kl, alike = (torch.cat(part) for part in parts)
        return model_kl, lens_kl, alike

    def step(self, spread: Spread, generator: torch.Generator) -> float:
        """Return the root mean square length s of noise that costs the model `TARGET_KL` nats."""
        noise = random_directions(spread, DERANGEMENTS * len(self.h), generator, unit=False)
        noise = noise.view(DERANGEMENTS, *self.h.shape) / spread.length
        low, high = np.log(1e-3 * spread.length), np.log(10 * spread.length)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            streams = self.h + float(np.exp(middle)) * noise
            kl = torch.cat(
                [_kl(self.log_p, self.of_model(part)) for part in torch.split(streams, self._at_once())]
            )
            low, high = (middle, high) if float(kl.mean()) < TARGET_KL else (low, middle)
        return float(np.exp((low + high) / 2))

    def _at_once(self) -> int:
        return max(1, _ELEMENTS // self.log_p.numel())


class _Repeated(Sequence[tuple[Tensor, Tensor]]):
    """Keys and values of each layer with all texts repeated n times, computed on access."""

    def __init__(self, prefix: list[tuple[Tensor, Tensor]], n: int) -> None:
        self._prefix, self._n = prefix, n

    def __len__(self) -> int:
        return len(self._prefix)

    def __getitem__(self, layer: Any) -> Any:
        k, v = cast("tuple[Tensor, Tensor]", self._prefix[layer])
        return k.repeat(1, self._n, 1, 1), v.repeat(1, self._n, 1, 1)


@torch.no_grad()
def faithfulness(
    transformer: Transformer,
    trained: dict[str, tuple[Lens, Parameters]],
    places: list[Place],
    training: Texts,
    held_out: Texts,
    settings: LensTraining,
    seed: int,
    report: Report,
) -> list[dict[str, Any]]:
    """Return the similarity of reactions, per lens, place before a layer, kind of directions and change.

    Args:
        trained: lenses with their parameters at all `places`; those in `TESTED` are tested.
        training: texts from which μ and Σ are computed.
        held_out: texts whose streams are changed, cut to their median length.
    """
    texts = held_out.of_median_length()[: settings.causal_texts]
    if settings.directions == 0 or len(texts) < 2:
        return []
    run = transformer.run(texts, texts.shape[1] - 1)
    reactions: list[dict[str, Any]] = []
    layers = transformer.shape.n_layers
    every = spreads(transformer, training, part_of(report, 0, 1, 10))
    within = part_of(report, 1, 10, 10)
    for layer, spread in enumerate(every):
        row, stand = places.index(Place(layer)), Stand(transformer, run, layer)
        generator = torch.Generator().manual_seed(seed)
        random = random_directions(spread, settings.directions, generator)
        step = stand.step(spread, generator)
        for name, linear in TESTED.items():
            if name not in trained:
                continue
            (lens, parameters), weight = trained[name], trained[linear][1]["weight"][row]
            directions_of_lens = aligned(transformer, spread, weight)
            sets = {"random": random, "aligned": directions_of_lens[: settings.directions]}
            for about, streams in _changes(stand, spread, step, sets, directions_of_lens, generator):
                within(layer, layers, f"changing streams before layer {layer} of {layers}: {name} lens")
                model_kl, lens_kl, alike = stand.reactions(lens, at(parameters, [row]), streams)
                if about["intervention"] != "resample":
                    model_kl, lens_kl, alike = model_kl.mean(1), lens_kl.mean(1), alike.nanmean(1)
                tested = {"lens": name, "place": Place(layer).name, "n_texts": len(texts)}
                reactions.append(tested | about | _summaries(model_kl, lens_kl, alike, seed))
    return reactions


def _changes(
    stand: Stand,
    spread: Spread,
    step: float,
    sets: dict[str, Tensor],
    own: Tensor,
    generator: torch.Generator,
) -> Iterator[tuple[dict[str, Any], Tensor]]:
    """Yield the description of every intervention, and the changed streams [n, B, D]."""
    h = stand.h
    for name, directions in sets.items():
        about = {"directions": name, "n_directions": len(directions)}
        yield about | {"intervention": "projection"}, projected(h, spread.mean, directions)
        sizes = step * torch.randn((len(directions), len(h)), generator=generator).to(h)
        yield about | {"intervention": "steering"}, h + sizes.unsqueeze(-1) * directions.unsqueeze(1)
    orders = torch.stack([derangement(len(h), generator) for _ in range(DERANGEMENTS)]).to(h.device)
    for n in RESAMPLED:
        if n < len(own):
            about = {"directions": "aligned", "n_directions": n, "intervention": "resample"}
            yield about, resampled(h, orthonormal(own[:n]), orders)


def similarity(log_p: Tensor, model: Tensor, lens: Tensor) -> Tensor:
    """Return the p-weighted correlation of changes in log-probability, [...]; nan where either is zero.

    Args:
        log_p: [B, V], the weights.
        model, lens: the changes, [..., B, V].
    """
    p = log_p.exp()
    u, v = (x - (p * x).sum(-1, keepdim=True) for x in (lens, model))
    return (p * u * v).sum(-1) / ((p * u * u).sum(-1) * (p * v * v).sum(-1)).sqrt()


def _summaries(model_kl: Tensor, lens_kl: Tensor, alike: Tensor, seed: int) -> dict[str, Summary]:
    """Return magnitude and direction of reactions (`Stand.reactions`), with bootstrap intervals."""
    model, lens, similarities = (x.flatten().double().cpu().numpy() for x in (model_kl, lens_kl, alike))
    logs = np.log(np.maximum(np.stack([model, lens]), _LEAST))
    defined = similarities[~np.isnan(similarities)]
    nothing: Summary = {"mean": None, "ci95": [None, None], "n": 0}
    return {
        "magnitude": magnitude(logs, seed),
        "direction": estimate(defined, seed) if len(defined) else nothing,
    }


def magnitude(logs: np.ndarray, seed: int) -> Summary:
    """Return the correlation of two rows [2, n] with its bootstrap interval; None if a row is constant."""
    n = logs.shape[1]
    drawn = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    rows = np.vstack([np.arange(n, dtype=np.int64), drawn])  # the sample itself first
    x, y = (row[rows] for row in logs)
    x, y = (z - z.mean(1, keepdims=True) for z in (x, y))
    scale = np.sqrt((x * x).sum(1) * (y * y).sum(1))
    values = np.divide((x * y).sum(1), scale, out=np.full(len(scale), np.nan), where=scale > 1e-12)
    if np.isnan(values[0]):
        return {"mean": None, "ci95": [None, None], "n": n}
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return {"mean": float(values[0]), "ci95": [float(low), float(high)], "n": n}


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    return (log_p.exp() * (log_p - log_q)).sum(-1).clamp_min(0)
