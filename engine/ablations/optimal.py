"""Optimal ablation (Li & Janson 2024, 2409.09951, section 2): the constant that does the least harm.

    a* = argmin_a  E_x KL( M(x) ‖ M_A(x, a) )

where A is the ablated component: one node alone, the ablated edges of a circuit (one constant for each
source, shared by its ablated edges), or the edges that a method samples while it trains its masks. Constants
start at the means, at zero or at one mean for all positions, whichever has the lowest KL. They are trained by
AdamW, and the best constants on held-out prompts are kept (`engine.forward.keep_best`): on those prompts they
are never worse than zero, or than means of the same conditioning. The authors' code starts at the means and
trains for a fixed number of steps.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from engine.ablations.base import Ablation, Conditioning, Reference, Replacer, ablations
from engine.ablations.constants import Constants, MeanSettings, constant_replacer, means
from engine.forward.alone import ablated_alone
from engine.forward.batch import Batch
from engine.forward.keep_best import Best, is_checked, training_steps
from engine.forward.masked import MaskedForward, Replacement
from engine.metrics import kl_divergence
from engine.models.transformer import Transformer
from engine.progress import Report

LEAST_GAIN = 0.02  # a fall of the best KL by less than this share counts as none


class Settings(MeanSettings):
    """Settings of optimal ablation."""

    steps: int = Field(150, ge=1, le=100_000, title="Steps", description="Training steps, at most.")
    rate: float = Field(0.01, gt=0, le=1, title="Rate", description="Learning rate at the first step.")
    batch_size: int = Field(8, ge=1, le=4096, title="Batch size", description="Prompts in a step.")
    patience: int = Field(
        50, ge=1, le=100_000, title="Patience", description="Steps without a gain after which to stop."
    )


@ablations.register("optimal")
class Optimal(Ablation[Settings]):
    """a = a*, per position or shared."""

    title = "Optimal"
    description = "The constant that does the least harm, trained by gradient for what is ablated."

    def start(self, transformer: Transformer, reference: Reference, settings: Settings) -> Replacement:
        """Return the constants before training: means over clean prompts."""
        return means(transformer, reference.clean, self.conditioning(settings))

    def prepare(
        self, transformer: Transformer, reference: Reference, settings: Settings, seed: int
    ) -> Replacer:
        """Return a replacer of the untrained constants; see the base class."""
        return constant_replacer(self.start(transformer, reference, settings))

    def conditioning(self, settings: Settings) -> Conditioning:
        """Return the conditioning the settings ask for."""
        return settings.conditioning


@dataclass(frozen=True)
class Fit:
    """Trained constants, and the history of their training.

    Attributes:
        history: one entry per check: "step"; "validation", the KL on held-out prompts, and "best", the lowest
            so far, in nats; "moved", the root mean square distance from the means, over all components.
    """

    constants: Replacement
    history: dict[str, list[float]]


def fit_circuit(
    forward: MaskedForward,
    training: list[Batch],
    held_out: list[Batch],
    start: Replacement,
    kept: Tensor,
    settings: Settings,
    seed: int,
    report: Report,
) -> Fit:
    """Train the constants of the edges that a circuit ablates.

    Args:
        training, held_out: batches of prompts stored from `FIRST_ABLATED` on.
        start: the constants before training.
        kept: bool [n_edges], the circuit.
    """
    mask = kept.to(forward.transformer.embedding)

    def kl(batch: Batch, values: Replacement) -> Tensor:
        divergence = kl_divergence(forward(batch.clean, values, mask), batch.clean.logits).mean()
        if divergence.requires_grad:
            torch.autograd.backward(divergence)
        return divergence.detach().unsqueeze(0)

    return _trained(start, training, held_out, settings, seed, kl, report)


def fit_alone(
    transformer: Transformer,
    training: list[Batch],
    held_out: list[Batch],
    start: Replacement,
    settings: Settings,
    seed: int,
    report: Report,
) -> Fit:
    """Train one constant per source for the ablation of that source alone, all sources at once.

    Sources are independent: the best constant of each is kept by its own KL.

    Args:
        training, held_out: batches of prompts stored from `FIRST_ABLATED` on.
        start: the constants before training.
    """

    def kl(batch: Batch, values: Replacement) -> Tensor:
        parts: list[Tensor] = []
        for _, logits in ablated_alone(transformer, batch.clean, values):
            divergences = kl_divergence(logits, batch.clean.logits).mean(-1)
            if divergences.requires_grad:
                torch.autograd.backward(divergences.sum())
            parts.append(divergences.detach())
        return torch.cat(parts)

    return _trained(start, training, held_out, settings, seed, kl, report)


# (batch, values) -> mean KL of every group of constants, [groups]; its gradient is left in `values`
Loss = Callable[[Batch, Replacement], Tensor]


def _trained(
    start: Replacement,
    training: list[Batch],
    held_out: list[Batch],
    settings: Settings,
    seed: int,
    loss: Loss,
    report: Report,
) -> Fit:
    """Train constants for at most `settings.steps` steps, or until the KL stops falling.

    Constants fall into groups, each judged by its own KL: either all sources are one group, or each source
    is a group of its own.
    """
    s, moved = settings, [0.0]
    best = Best(start, _validated(Constants(start), held_out, loss), _chosen)
    for other in _simpler(start):
        best.keep(other, _validated(Constants(other), held_out, loss))
    constants, generator = Constants(best.values), torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(constants.values, lr=s.rate, weight_decay=0)

    def shuffled() -> list[Batch]:
        return [training[i] for i in torch.randperm(len(training), generator=generator)]

    mark, gained = float(best.losses.sum()), 0
    for step, batch in training_steps(optimiser, s.steps, shuffled):
        now, first = best.history["best"][-1], best.history["best"][0]
        report(step, s.steps, f"training constants: KL {now:.3g} nats, {first:.3g} at the means")
        _step(constants, batch, loss, optimiser)
        if is_checked(step + 1, s.steps):
            best.check(step + 1, constants.frozen(), _validated(constants, held_out, loss))
            moved.append(_moved(constants, start))
            if float(best.losses.sum()) < (1 - LEAST_GAIN) * mark:
                mark, gained = float(best.losses.sum()), step + 1
            if step + 1 - gained >= s.patience:
                break
    return Fit(best.values, best.history | {"moved": moved})


def _step(constants: Constants, batch: Batch, loss: Loss, optimiser: torch.optim.Optimizer) -> None:
    values = constants.of(batch.clean)
    parts = (values.input, values.heads, values.mlps)
    leaf_input, leaf_heads, leaf_mlps = leaves = [part.detach().requires_grad_() for part in parts]
    loss(batch, Replacement(leaf_input, leaf_heads, leaf_mlps))
    optimiser.zero_grad()
    torch.autograd.backward(parts, [leaf.grad for leaf in leaves])
    optimiser.step()


@torch.no_grad()
def _validated(constants: Constants, held_out: list[Batch], loss: Loss) -> Tensor:
    """Return the mean KL of every group on the held-out prompts, in nats, [groups]."""
    weights = [len(batch.answers) for batch in held_out]
    kls = [loss(batch, constants.of(batch.clean)) for batch in held_out]
    return sum((w * kl for w, kl in zip(weights, kls, strict=True)), torch.zeros(())) / sum(weights)


def _moved(constants: Constants, start: Replacement) -> float:
    """Return the root mean square distance of the constants from `start`, over all components."""
    starts = (start.input, start.heads, start.mlps)
    moved = [(x.detach() - y).flatten() for x, y in zip(constants.values, starts, strict=True)]
    return float(torch.cat(moved).square().mean().sqrt())


def _simpler(start: Replacement) -> list[Replacement]:
    """Return simpler starts of the same shape: zeros and, for means per position, the mean over positions."""
    values = (start.input, start.heads, start.mlps)
    stream, heads, mlps = (torch.zeros_like(value) for value in values)
    simpler = [Replacement(stream, heads, mlps)]
    if start.mlps.shape[-2] > 1:
        # Last stands the mean over all positions, for prompts longer than any of training.
        stream, heads, mlps = (value[..., -1:, :].expand_as(value).clone() for value in values)
        simpler.append(Replacement(stream, heads, mlps))
    return simpler


def _chosen(better: Tensor, new: Replacement, old: Replacement) -> Replacement:
    """Return `new` for the groups where `better` (bool [1] or [n_sources]) holds, else `old`."""
    if len(better) == 1:
        return new if bool(better) else old
    rest = better[1:].view(len(new.mlps), -1)
    heads, mlps = rest[:, :-1, None, None, None], rest[:, -1, None, None, None]
    return Replacement(
        torch.where(better[0], new.input, old.input),
        torch.where(heads, new.heads, old.heads),
        torch.where(mlps, new.mlps, old.mlps),
    )
