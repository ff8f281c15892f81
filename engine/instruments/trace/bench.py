"""The bench of causal tracing: a whole map."""

from collections.abc import Callable

import torch

from engine.tensors import integers
from engine.tracing.cells import make_group
from engine.tracing.gaussian import NoiseDraws
from engine.tracing.prompts import Traced
from engine.tracing.traces import traces
from engine.workbench.workload import Bench, Workload

TOKENS, DRAWS = 12, 10


def trace_map(work: Workload) -> Callable[[], object]:
    """Compute a map of Gaussian noise tracing of one prompt, including the clean and corrupted passes.

    The subject is at the beginning of the prompt, so that every token needs passes. One forward per layer,
    token and draw would be 1,440 passes over 12 tokens, the work of 67.5 F.
    """
    generator = torch.Generator().manual_seed(0)
    tokens = integers(torch.randint(0, work.model.shape.d_vocab, (TOKENS,), generator=generator))
    prompt = Traced("", tokens, (0, 3), [tokens[0]], tokens[1])
    transformer = work.model.transformer

    def once() -> object:
        group = make_group(transformer, [prompt])
        return list(traces(transformer, group, NoiseDraws(transformer, 1.0, DRAWS, 0), "residual", 1))

    return once


BENCHES: dict[str, Bench] = {"trace-map": trace_map}
