"""Preparation for instruments: the loaded model, and prompts and ablation of a request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from engine.ablations.base import Ablation, Reference, Replacer, ablations
from engine.ablations.constants import constant_replacer
from engine.ablations.optimal import Fit, Optimal, fit_alone, fit_circuit
from engine.ablations.optimal import Settings as OptimalSettings
from engine.arrays import Flags
from engine.forward.batch import Batch
from engine.forward.masked import MaskedForward, Replacement
from engine.models import Model, load_model
from engine.progress import Report
from engine.runs.request import OfAGraph, Request
from engine.runs.store import RunStore
from engine.settings import parse_settings
from engine.tasks.dataset import Prompts, load_prompts, own_prompts
from engine.tasks.own_pair import OwnPair
from engine.workbench.evaluation import EVALUATION_BATCH, Evaluator
from engine.workbench.memory import Estimate, check_memory

HELD_OUT = 0.2  # share of the training prompts on which trained constants are judged
CONSTANTS = ("constants.input", "constants.heads", "constants.mlps")  # names of trained ones in a run
EVALUATION_SEED = 0  # of the prompts evaluated on, so that runs of different seeds are measured on the same


class Workbench:
    """The model and other resources with which an instrument carries out a request.

    Attributes:
        asked: the request.
        store: the run store.
        checkpoint: folder to save progress in and resume from, or None.
        memory: the estimate of the memory needed.
    """

    def __init__(self, asked: Request, store: RunStore, checkpoint: Path | None, memory: Estimate) -> None:
        self.asked, self.store, self.checkpoint, self.memory = asked, store, checkpoint, memory

    @cached_property
    def model(self) -> Model:
        """The model of the request, loaded on first access."""
        return cached_model(self.asked.model, self.asked.dtype, self.asked.weights_hash or "")

    def prepare(self, asked: OfAGraph, settings: Mapping[str, Any] = MappingProxyType({})) -> "Prepared":
        """Load prompts and ablation of a request, and check the memory.

        Args:
            asked: the request.
            settings: settings of a method, which determine the memory it needs.

        Raises:
            RequestError: see `load_model` and `load_prompts`.
            OutOfMemoryError: by the estimate, the work does not fit into memory.
        """
        prepared = prepare(asked, settings)
        self.memory.needed = prepared.bytes_needed
        return prepared


@dataclass(frozen=True)
class Prepared:
    """Model, masked forward, training prompts and ablation of a request.

    Attributes:
        replace: returns replacement values; if constants are to be `trained`, the untrained ones.
        trained: start and settings of the training of constants; None for an ablation without.
        bytes_needed: estimated memory besides the model, in bytes.
        ablation, reference: the ablation, and the training prompts that it was prepared with.
    """

    model: Model
    forward: MaskedForward
    training: Prompts
    replace: Replacer
    conditioning: str
    trained: "TrainedConstants | None"
    bytes_needed: int
    ablation: Ablation[Any]
    reference: Reference

    def notes(self, prompts: Prompts) -> list[str]:
        """Return notes on how the ablation treats some prompts."""
        groups = prompts.batches(len(prompts.items))
        return self.ablation.notes(
            self.reference, [prompts.tokens(members, self.model.device)[0] for members in groups]
        )

    def batches(
        self, prompts: Prompts, indices: list[list[int]], replace: Replacer | None = None
    ) -> list[Batch]:
        """Return batches with their plain runs and replacement values.

        Args:
            prompts: prompts of the batches.
            indices: indices of the prompts of each batch.
            replace: returns the replacement values; None takes `self.replace`.
        """
        prepared: list[Batch] = []
        for members in indices:
            clean, corrupt = prompts.tokens(members, self.model.device)
            ablated = (replace or self.replace)(clean, corrupt)
            run = self.model.transformer.run(clean, ablated.start).without_sources()
            items = [prompts.items[i] for i in members]
            prepared.append(
                Batch(
                    run,
                    ablated.replacement,
                    [prompt.answers for prompt in items],
                    [prompt.wrong_answers for prompt in items],
                )
            )
        return prepared

    def fit(self, kept: Flags, report: Report) -> Fit:
        """Train the constants of the circuit `kept` (bool [n_edges]) on the training prompts."""
        assert self.trained is not None
        training, held_out = self._parts
        mask = torch.as_tensor(kept).to(self.model.device)
        t = self.trained
        return fit_circuit(self.forward, training, held_out, t.start, mask, t.settings, t.seed, report)

    def fit_alone(self, report: Report) -> Fit:
        """Train one constant per source for the ablation of that source alone, on the training prompts."""
        assert self.trained is not None
        training, held_out = self._parts
        t = self.trained
        return fit_alone(self.model.transformer, training, held_out, t.start, t.settings, t.seed, report)

    @cached_property
    def _parts(self) -> tuple[list[Batch], list[Batch]]:
        """The training prompts in two parts, to train constants and to select the best ones."""
        assert self.trained is not None
        items, size = self.training.items, self.trained.settings.batch_size
        rest = max(1, round(HELD_OUT * len(items)))
        parts = (items[:-rest] or items, items[-rest:])
        prompts = [replace(self.training, items=part) for part in parts]
        training, held_out = (self.batches(part, part.batches(size)) for part in prompts)
        return training, held_out

    def evaluator(
        self, asked: OfAGraph, replacer: Replacer | None = None, pairs: Sequence[OwnPair] = ()
    ) -> Evaluator:
        """Return the evaluator on the prompts of the request's split.

        Args:
            asked: the request.
            replacer: returns the replacement values; if given, no constants are trained.
            pairs: prompts typed by the user, to measure on instead.
        """
        if pairs:
            prompts = own_prompts(asked.task, self.model, pairs, asked.bos)
        else:
            prompts = load_prompts(
                asked.task,
                self.model,
                asked.split,
                asked.n_prompts,
                EVALUATION_SEED,
                asked.bos,
                asked.held_out,
            )
        indices = prompts.batches(EVALUATION_BATCH)
        order = [i for members in indices for i in members]
        names = self.model.token_strings

        def constants(kept: Flags, report: Report) -> Replacement:
            return self.fit(kept, report).constants

        fit = None if self.trained is None or replacer else constants
        batches = self.batches(prompts, indices, replacer)
        return Evaluator(self.forward, prompts, batches, order, names, EVALUATION_SEED, fit)


@dataclass(frozen=True)
class TrainedConstants:
    """Start, settings and seed of the training of an ablation's constants."""

    start: Replacement
    settings: OptimalSettings
    seed: int


def prepare(asked: OfAGraph, settings: Mapping[str, Any]) -> Prepared:
    """Load model, prompts and ablation of a request; see `Workbench.prepare`."""
    model = cached_model(asked.model, asked.dtype, asked.weights_hash or "")
    graph = model.shape.graph(asked.qkv)
    training = load_prompts(
        asked.task, model, "train", asked.n_prompts, asked.seed, asked.bos, asked.held_out
    )
    needed = check_memory(model, graph, settings, training)
    groups = [training.tokens(members, model.device) for members in training.batches(len(training.items))]
    reference = Reference([clean for clean, _ in groups], [corrupt for _, corrupt in groups])
    ablation = ablations.get(asked.ablation)
    of_ablation = parse_settings(ablation.Settings, asked.ablation_settings)
    trained = None
    if isinstance(ablation, Optimal):
        chosen = OptimalSettings.model_validate(of_ablation, from_attributes=True)
        start = ablation.start(model.transformer, reference, chosen)
        trained, replacer = TrainedConstants(start, chosen, asked.seed), constant_replacer(start)
    else:
        replacer = ablation.prepare(model.transformer, reference, of_ablation, asked.seed)
    forward = MaskedForward(model.transformer, graph)
    conditioning = ablation.conditioning(of_ablation)
    return Prepared(model, forward, training, replacer, conditioning, trained, needed, ablation, reference)


@lru_cache(maxsize=1)
def cached_model(model: str, dtype: str | None, digest: str) -> Model:
    """Return a loaded model; the last one is cached. `digest` distinguishes changed weights."""
    return load_model(model, dtype=dtype)
