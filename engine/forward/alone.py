"""The model with one source ablated alone, for every source; used for the importance of nodes.

Nothing before the ablated source changes. So a pass begins there, with the full model's residual stream, and
covers all heads of a layer at once.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from engine.forward.masked import Replacement
from engine.models.transformer import Run, Transformer

MOST_ROWS = 512  # prompts in one pass, of all the heads ablated in it


def ablated_alone(transformer: Transformer, clean: Run, other: Replacement) -> Iterator[tuple[int, Tensor]]:
    """Yield the model's logits with each source replaced alone, for groups of consecutive sources.

    Yields:
        The index of the first of n sources, and their logits [n, B, V]. Gradients flow to `other`, for each
        group separately.
    """
    with torch.no_grad():
        run = transformer.run(clean.tokens, clean.start)
    start, prefix, parallel = clean.start, run.prefix, transformer.shape.parallel
    yield 0, transformer.finish(run.residual[0] + other.input - run.input, 0, start, prefix).unsqueeze(0)
    position = 1
    for layer, block in enumerate(transformer.blocks):
        after = run.residual[layer + 1]
        at_once = max(1, MOST_ROWS // len(clean.tokens))
        for heads in torch.split(torch.arange(transformer.shape.n_heads), at_once):
            changes = torch.matmul(
                other.heads[layer, heads] - run.heads[layer][heads], block.out[heads].unsqueeze(1)
            )
            wide = [(k.repeat(1, len(heads), 1, 1), v.repeat(1, len(heads), 1, 1)) for k, v in prefix]
            if parallel:  # the MLP does not see the heads beside it
                streams = (after + changes).flatten(0, 1)
            else:
                streams = (after - run.mlps[layer] + changes).flatten(0, 1)
                streams = streams + transformer.mlp(layer, streams)
            logits = transformer.finish(streams, layer + 1, start, wide)
            yield position, logits.unflatten(0, changes.shape[:2])
            position += len(heads)
        changed = after + other.mlps[layer] - run.mlps[layer]
        yield position, transformer.finish(changed, layer + 1, start, prefix).unsqueeze(0)
        position += 1
