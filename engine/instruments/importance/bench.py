"""The bench of importance: every component ablated alone."""

from collections.abc import Callable
from dataclasses import replace

import torch

from engine.forward.alone import ablated_alone
from engine.workbench.workload import Bench, Sample, Workload

PROMPTS_ABLATED = 4


def importance(work: Workload) -> Callable[[], object]:
    """Ablate every component alone; done with some of the prompts and extrapolated."""
    n, run = min(PROMPTS_ABLATED, len(work.batch.answers)), work.model.transformer.run
    whole, other = work.batch.clean, work.batch.replacement
    clean = run(whole.tokens[:n], whole.start).without_sources()
    part = replace(other, input=other.input[:n], heads=other.heads[:, :, :n], mlps=other.mlps[:, :n])
    part = replace(part, residual=None)

    @torch.no_grad()
    def once() -> None:
        for _ in ablated_alone(work.model.transformer, clean, part):
            pass

    return Sample(once, len(work.batch.answers) / n)


BENCHES: dict[str, Bench] = {"importance": importance}
