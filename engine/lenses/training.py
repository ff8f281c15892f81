"""Training of lenses, of all places at once, on streams that are computed anew in every step and not stored.

The loss is KL(teacher ‖ lens) in nats, averaged over positions and summed over places, which share no
parameters. The best parameters on validation texts are kept for each place (`engine.forward.keep_best`): on
these texts, a lens is never worse than its start. Held-out texts are not used. Only counted positions of a
text are trained on (`engine.lenses.texts`).
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from engine.forward.keep_best import Best, History, rows_where, training_steps
from engine.lenses.base import Lens, Parameters, Place, Recipe, at
from engine.lenses.loss import Teacher, kl_to, make_teacher
from engine.lenses.streams import read_streams
from engine.lenses.texts import Texts
from engine.models.transformer import Transformer
from engine.progress import Report

CHECKS = 5  # by the validation texts, in a whole training


@dataclass(frozen=True)
class Job:
    """The model, places, texts and teacher of a training.

    Attributes:
        batch: approximate number of positions per step.
        teacher: the lens to learn from, with its parameters; None learns from the model.
    """

    transformer: Transformer
    places: list[Place]
    training: Texts
    validation: Texts
    batch: int
    seed: int
    teacher: tuple[Lens, Parameters] | None = None


def train(
    job: Job, lens: Lens, recipe: Recipe, start: Parameters, report: Report
) -> tuple[Parameters, History]:
    """Return trained parameters, and the mean KL on the validation texts at every check.

    Places that share parameters (`Lens.owners`) are trained once; the mean is over the trained places.
    """
    owners = lens.owners(job.places)
    some = sorted(set(owners))
    teacher = None if job.teacher is None else (job.teacher[0], at(job.teacher[1], some))
    own = replace(job, places=[job.places[i] for i in some], teacher=teacher)
    best, history = _train(own, lens, recipe, {name: value[some] for name, value in start.items()}, report)
    rows = [some.index(i) for i in owners]
    return {name: value[rows] for name, value in best.items()}, history


def _train(
    job: Job, lens: Lens, recipe: Recipe, start: Parameters, report: Report
) -> tuple[Parameters, History]:
    values = {name: value.clone().requires_grad_() for name, value in start.items()}
    optimiser = recipe.optimiser(list(values.values()))
    generator = torch.Generator().manual_seed(job.seed)
    best = Best(start, validate(job, lens, start), _chosen, loss="kl")

    def shuffled() -> list[Texts]:
        order = torch.randperm(len(job.training), generator=generator)
        return job.training.take(order.to(job.training.tokens.device)).parts(job.batch)

    for step, texts in training_steps(optimiser, recipe.steps, shuffled):
        report(step, recipe.steps, f"training the {lens.title}: KL {best.history['best'][-1]:.3g} nats")
        streams, teacher = _batch(job, texts)
        advance(job.transformer, lens, values, job.places, streams, teacher, optimiser, recipe.clip)
        if (step + 1) * CHECKS // recipe.steps > step * CHECKS // recipe.steps:
            now = {name: value.detach() for name, value in values.items()}
            best.check(step + 1, now, validate(job, lens, now))
    return best.values, best.history


def advance(
    transformer: Transformer,
    lens: Lens,
    values: Parameters,
    places: list[Place],
    streams: Tensor,
    teacher: Teacher,
    optimiser: torch.optim.Optimizer,
    clip: float | None,
) -> None:
    """Take one training step with the streams at the places, [P, N, D], and the teacher there."""
    optimiser.zero_grad()
    kl = kl_to(transformer, teacher, lens.final(transformer, values, places, streams))
    torch.autograd.backward(kl.mean(1).sum())
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(list(values.values()), clip)
    optimiser.step()


@torch.no_grad()
def validate(job: Job, lens: Lens, parameters: Parameters) -> Tensor:
    """Return the mean KL at every place over the positions of the validation texts, in nats, [P]."""
    total = torch.zeros(len(job.places), device=job.validation.tokens.device)
    for part in job.validation.parts(job.batch):
        streams, teacher = _batch(job, part)
        final = lens.final(job.transformer, parameters, job.places, streams)
        total += kl_to(job.transformer, teacher, final).sum(1)
    return total / job.validation.positions


def mean_attention(transformer: Transformer, texts: Texts, batch: int, report: Report) -> Tensor:
    """Return the mean output of every attention over all positions of texts, [L, D] float32."""
    shape, parts = transformer.shape, texts.parts(batch)
    total = torch.zeros((shape.n_layers, shape.d_model), dtype=torch.float64)
    for i, part in enumerate(parts):
        report(i, len(parts), "means of what attentions write")
        written = read_streams(transformer, part.tokens, [Place(0)]).attention[:, part.counted]
        total += written.double().sum(1).cpu()
    return (total / texts.positions).float().to(texts.tokens.device)


def _batch(job: Job, texts: Texts) -> tuple[Tensor, Teacher]:
    """Return the streams of some texts at every place, [P, N, D], and the teacher there."""
    streams, final = read_streams(job.transformer, texts.tokens, job.places).flat(texts.counted)
    if job.teacher is not None:
        lens, parameters = job.teacher
        with torch.no_grad():
            final = lens.final(job.transformer, parameters, job.places, streams)
    return streams, make_teacher(job.transformer, final)


def _chosen(better: Tensor, new: Parameters, old: Parameters) -> Parameters:
    """Return `new` for the places where `better` holds, and `old` for the others."""
    return {name: rows_where(better, new[name], old[name]) for name in old}
