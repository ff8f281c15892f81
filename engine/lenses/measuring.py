"""Metrics of lenses against the model, text by text, over held-out texts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from engine.lenses.base import Lens, Parameters, Place
from engine.lenses.streams import read_streams
from engine.lenses.texts import Texts
from engine.models.transformer import Transformer
from engine.progress import Report

METRICS = ("kl", "cross_entropy", "entropy")


@dataclass(frozen=True)
class Measured:
    """Means over the counted positions of each text, in nats.

    Attributes:
        lenses: by lens, [n_texts, P, 3] as in `METRICS`: KL(model ‖ lens), cross-entropy of the text's own
            next token, entropy of the lens's distribution.
        model: the model's own, [n_texts, 3].
    """

    lenses: dict[str, Tensor]
    model: Tensor


@torch.no_grad()
def measure(
    transformer: Transformer,
    trained: dict[str, tuple[Lens, Parameters]],
    places: list[Place],
    texts: Texts,
    report: Report,
    means: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType({}),
) -> Measured:
    """Measure lenses on texts.

    Args:
        means: for lenses that read uncentred streams, by name: a function from a text's tokens [1, S] to the
            means of its streams over dimensions, [P, 1, S, 1].
    """
    of_lenses: dict[str, list[Tensor]] = {name: [] for name in trained}
    of_model: list[Tensor] = []
    for i in range(len(texts)):
        report(i, len(texts), f"measuring lenses on texts held out: {i} of {len(texts)}")
        text = texts.take([i])
        streams, final = read_streams(transformer, text.tokens, places).flat(text.counted)
        model = transformer.unembed(final).float().log_softmax(-1)
        # The last position has no next token where a text was cut and not ended.
        nexts = text.tokens[0, 2 : len(model) + 2]
        of_model.append(_values(model, model, nexts))
        for name, (lens, parameters) in trained.items():
            read = streams if name not in means else streams + means[name](text.tokens)[:, text.counted]
            ends = lens.final(transformer, parameters, places, read)
            rows = [_values(transformer.unembed(end).float().log_softmax(-1), model, nexts) for end in ends]
            of_lenses[name].append(torch.stack(rows))
    return Measured(
        {name: torch.stack(rows).cpu() for name, rows in of_lenses.items()}, torch.stack(of_model).cpu()
    )


def _values(log_q: Tensor, model: Tensor, nexts: Tensor) -> Tensor:
    """Return the metrics of a lens at N positions.

    Args:
        log_q, model: log-probabilities of the lens and of the model, [N, V].
        nexts: the next tokens of the first positions; the last position may have none.
    """
    kl = (model.exp() * (model - log_q)).sum(-1).mean()
    cross_entropy = -log_q[: len(nexts)].gather(-1, nexts.unsqueeze(-1)).mean()
    return torch.stack([kl, cross_entropy, -(log_q.exp() * log_q).sum(-1).mean()])
