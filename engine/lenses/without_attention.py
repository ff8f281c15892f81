"""A model's remaining layers with constants for attentions (Li & Janson 2024, 2409.09951, section 5).

From place l on, for every later attention m,

    h  ←  h + a_{l,m} ,     h  ←  h + MLP_m(h) ,

so that no other token is read. All places are computed together: their streams join a growing batch layer by
layer, so that each MLP runs once for all places before it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.lenses.base import Place
from engine.models.transformer import Transformer


def carry_on(transformer: Transformer, constants: Tensor, places: Sequence[Place], streams: Tensor) -> Tensor:
    """Return the final streams, [P, ..., D]; gradients flow to the constants and the streams.

    Args:
        constants: [P, L, D], or [1, L, D] if all places share them; those of attentions before a place are
            not used. They need not be centred.
        places: the places, in the order of computation.
        streams: streams at these places, [P, ..., D].
    """
    parallel, singles = transformer.shape.parallel, (1,) * (streams.dim() - 2)
    written = transformer.centre(constants.to(streams)).expand(len(places), -1, -1)
    by_layer = written.view(*written.shape[:2], *singles, written.shape[2])
    running = streams[:0]
    for layer in range(len(transformer.blocks)):
        running = _joined(running, streams, places, Place(layer))
        after = running + by_layer[: len(running), layer]
        if not parallel:
            running = after = _joined(after, streams, places, Place(layer, True))
        if len(running):
            running = after + transformer.mlp(layer, running)
    return running


def _joined(running: Tensor, streams: Tensor, places: Sequence[Place], place: Place) -> Tensor:
    """Return the running streams, extended by those of `place` if it is among the places."""
    n = len(running)
    if n == len(places) or places[n] != place:
        return running
    return torch.cat([running, streams[n : n + 1]]) if n else streams[:1]
