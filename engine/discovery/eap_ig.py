"""EAP with integrated gradients (Hanna, Pezzelle & Belinkov 2024, 2403.17806): gradients along a path.

The score of an edge is ⟨h_s - c_s, ∂m/∂x_r⟩ as in EAP, its gradient the mean over the points of a path:

    inputs           input e_k = e_c + k/n (e - e_c), k = 0 … n-1: from the ablated input towards the clean
    activations      clean input, and one group's output at c + k/n (h - c), k = 1 … n, group by group:
                     the input, all heads of a layer, its MLP, and so on upwards
    clean-corrupted  the clean and the ablated input alone

"inputs" is the method of the paper; the others are variants in the authors' code, whose ranges of k these
are. In "activations", the output of the group is fixed, so no gradient passes through it. Under an ablation
by constants, the ablated input is the constants' input stream. As for EAP, a score estimates how much the
metric falls, as a mean over prompts; the authors' code gives the change of a loss.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from engine.discovery import eap
from engine.discovery.base import Discovery, Method, Problem, methods
from engine.discovery.eap import Points, at_clean, attribute, ranked
from engine.forward.attribution import Attribution, Fixed, Pass
from engine.progress import Report


class Settings(eap.Settings):
    """Settings of EAP-IG."""

    variant: Literal["inputs", "activations", "clean-corrupted"] = Field(
        "inputs",
        title="Variant",
        description="The path: from the ablated to the clean input, group by group, or its two ends.",
    )
    steps: int = Field(
        5, ge=1, le=1000, title="Steps", description="Points on a path; 'clean-corrupted' always has two."
    )


@methods.register("eap-ig")
class IntegratedGradients(Method[Settings]):
    """The effect of every edge from gradients along a path."""

    title = "EAP-IG"
    description = "EAP with integrated gradients: the mean of its gradients along a path to the clean input."

    def discover(self, problem: Problem, settings: Settings, seed: int, report: Report) -> Discovery:
        """Return the estimated fall of the metric for every edge; see the base class."""
        points = partial(VARIANTS[settings.variant], steps=settings.steps)
        return Discovery(ranked(attribute(problem, points, settings.batch_size, report), settings.ranking))


def inputs(attribution: Attribution, steps: int) -> Points:
    """Return passes at `steps` inputs from the ablated one up to one step before the clean one."""
    return [partial(_from_input, attribution, k / steps) for k in range(steps)]


def activations(attribution: Attribution, steps: int) -> Points:
    """Return passes with the output of one group after the other between ablated and clean."""
    other = attribution.replacement
    shares = [k / steps for k in range(1, steps + 1)]
    points = [partial(_from_input, attribution, share) for share in shares]
    for layer, at in enumerate(attribution.at_clean.layers):
        heads = at.heads.detach(), other.heads[layer]
        mlp = at.mlp.detach(), other.mlps[layer][:, -at.mlp.shape[1] :]
        points += [partial(_with_fixed, attribution, "heads", layer, *heads, share) for share in shares]
        points += [partial(_with_fixed, attribution, "mlp", layer, *mlp, share) for share in shares]
    return points


def clean_corrupted(attribution: Attribution, steps: int) -> Points:
    """Return the passes at the clean and at the ablated input."""
    return [*at_clean(attribution), partial(_from_input, attribution, 0.0)]


def _from_input(attribution: Attribution, share: float) -> Pass:
    """Return the pass at the input interpolated from the ablated (share 0) to the clean one (share 1)."""
    return attribution.run(torch.lerp(attribution.replacement.input, attribution.clean.input, share))


def _with_fixed(
    attribution: Attribution,
    group: Literal["heads", "mlp"],
    layer: int,
    clean: Tensor,
    ablated: Tensor,
    share: float,
) -> Pass:
    """Return the pass at the clean input with one group's output interpolated from ablated to clean."""
    fixed = Fixed(group, layer, torch.lerp(ablated, clean, share))
    return attribution.run(attribution.clean.input, fixed)


VARIANTS: dict[str, Callable[..., Points]] = {
    "inputs": inputs,
    "activations": activations,
    "clean-corrupted": clean_corrupted,
}
