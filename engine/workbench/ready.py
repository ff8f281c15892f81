"""What a request needs, loaded and ready: model, masked forward, training prompts, ablation."""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import torch

from engine.ablations.base import Reference, Replacer, ablations
from engine.ablations.constants import constant_replacer
from engine.ablations.optimal import Fit, Optimal, fit_alone, fit_circuit
from engine.ablations.optimal import Settings as OptimalSettings
from engine.forward.batch import Batch
from engine.forward.masked import MaskedForward, Replacement
from engine.models import Model, load_model
from engine.progress import Report
from engine.runs.request import Request
from engine.settings import parse_settings
from engine.tasks.dataset import Prompts, load_prompts, own_prompts
from engine.workbench.evaluation import EVALUATION_BATCH, Evaluator
from engine.workbench.memory import check_memory

HELD_OUT = 0.2  # share of the training prompts on which trained constants are judged
EVALUATION_SEED = 0  # of the prompts evaluated on, so that runs of different seeds are measured on the same


@dataclass(frozen=True)
class Workbench:
    """Everything a request needs, loaded and ready: model, masked forward, training prompts, ablation.

    Attributes:
        replace: gives what ablated sources are replaced by; untrained constants where they are `trained`.
        trained: how the constants of an ablation are trained; None for one that has none to train.
        bytes_needed: beside the model, estimated.
    """

    model: Model
    forward: MaskedForward
    training: Prompts
    replace: Replacer
    conditioning: str
    trained: "TrainedConstants | None"
    bytes_needed: int

    def batches(
        self, prompts: Prompts, indices: list[list[int]], replace: Replacer | None = None
    ) -> list[Batch]:
        """Return prepared batches: plain and replacement passes done, once.

        Args:
            prompts: where the batches' prompts come from.
            indices: of the prompts in each batch.
            replace: gives the replacement values; None takes the workbench's.
        """
        prepared = []
        for members in indices:
            clean, corrupt = prompts.tokens(members, self.model.device)
            ablated = (replace or self.replace)(clean, corrupt)
            run = self.model.transformer.run(clean, ablated.start).without_sources()
            items = [prompts.items[i] for i in members]
            prepared.append(
                Batch(run, ablated.replacement, [x.answers for x in items], [x.wrong_answers for x in items])
            )
        return prepared

    def fit(self, kept: np.ndarray, report: Report) -> Fit:
        """Train the constants of a circuit, bool [n_edges], on the training prompts."""
        assert self.trained is not None
        training, held_out = self._parts
        mask = torch.from_numpy(kept).to(self.model.device)
        t = self.trained
        return fit_circuit(self.forward, training, held_out, t.start, mask, t.settings, t.seed, report)

    def fit_alone(self, report: Report) -> Fit:
        """Train the constant of every source for its being ablated alone, on the training prompts."""
        assert self.trained is not None
        training, held_out = self._parts
        t = self.trained
        return fit_alone(self.model.transformer, training, held_out, t.start, t.settings, t.seed, report)

    @cached_property
    def _parts(self) -> tuple[list[Batch], list[Batch]]:
        """The training prompts in two parts, to train constants and to choose the best of them."""
        assert self.trained is not None
        items, size = self.training.items, self.trained.settings.batch_size
        rest = max(1, round(HELD_OUT * len(items)))
        parts = (items[:-rest] or items, items[-rest:])
        prompts = [replace(self.training, items=part) for part in parts]
        training, held_out = (self.batches(part, part.batches(size)) for part in prompts)
        return training, held_out

    def evaluator(self, request: Request, replacer: Replacer | None = None) -> Evaluator:
        """Return the evaluator on the prompts of the request's split, or on the pairs the user typed; with a
        replacer of its own it trains no constants."""
        if request.pairs:
            prompts = own_prompts(request.task, self.model, request.pairs, request.bos)
        else:
            prompts = load_prompts(
                request.task,
                self.model,
                request.split,
                request.n_prompts,
                EVALUATION_SEED,
                request.bos,
                request.held_out,
            )
        indices = prompts.batches(EVALUATION_BATCH)
        order = [i for members in indices for i in members]
        names = self.model.token_strings
        fit = (
            None
            if self.trained is None or replacer
            else lambda kept, report: self.fit(kept, report).constants
        )
        batches = self.batches(prompts, indices, replacer)
        return Evaluator(self.forward, prompts, batches, order, names, EVALUATION_SEED, fit)


@dataclass(frozen=True)
class TrainedConstants:
    """How the constants of an ablation are trained: from where, with which settings and seed."""

    start: Replacement
    settings: OptimalSettings
    seed: int


def prepare(request: Request) -> Workbench:
    """Load what a request needs.

    Raises:
        RequestError: see `load_model` and `load_prompts`.
        OutOfMemoryError: an estimate says that it will not fit.
    """
    model = cached_model(request.model, request.dtype, request.weights_hash or "")
    graph = model.shape.graph(request.qkv)
    training = load_prompts(
        request.task, model, "train", request.n_prompts, request.seed, request.bos, request.held_out
    )
    needed = check_memory(model, graph, request, training)
    groups = [training.tokens(members, model.device) for members in training.batches(len(training.items))]
    reference = Reference([clean for clean, _ in groups], [corrupt for _, corrupt in groups])
    ablation = ablations.get(request.ablation)
    settings = parse_settings(ablation.Settings, request.ablation_settings)
    trained = None
    if isinstance(ablation, Optimal):
        chosen = OptimalSettings.model_validate(settings, from_attributes=True)
        start = ablation.start(model.transformer, reference, chosen)
        trained, replacer = TrainedConstants(start, chosen, request.seed), constant_replacer(start)
    else:
        replacer = ablation.prepare(model.transformer, reference, settings, request.seed)
    forward = MaskedForward(model.transformer, graph)
    conditioning = ablation.conditioning(settings)
    return Workbench(model, forward, training, replacer, conditioning, trained, needed)


@lru_cache(maxsize=1)
def cached_model(model: str, dtype: str | None, digest: str) -> Model:
    """Return a loaded model; the last one stays loaded. `digest` tells changed weights apart."""
    return load_model(model, dtype=dtype)
