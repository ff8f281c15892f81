"""What a request needs, loaded and ready: model, masked forward, training prompts, ablation."""

from dataclasses import dataclass
from functools import lru_cache

from engine.ablations.base import Reference, Replacer, ablations
from engine.discovery.base import Batch
from engine.evaluation import EVALUATION_BATCH, Evaluator
from engine.forward import MaskedForward
from engine.memory import check_memory
from engine.models import Model, load_model
from engine.request import Request
from engine.settings import parse_settings
from engine.tasks.dataset import Prompts, load_prompts, own_prompts

EVALUATION_SEED = 0  # of the prompts evaluated on, so that runs of different seeds are measured on the same


@dataclass(frozen=True)
class Workbench:
    """Everything a request needs, loaded and ready: model, masked forward, training prompts, ablation."""

    model: Model
    forward: MaskedForward
    training: Prompts
    replace: Replacer
    conditioning: str
    bytes_needed: int  # beside the model, estimated

    def batches(self, prompts: Prompts, indices: list[list[int]]) -> list[Batch]:
        """Return prepared batches: plain and replacement passes done, once."""
        prepared = []
        for members in indices:
            clean, corrupt = prompts.tokens(members, self.model.device)
            ablated = self.replace(clean, corrupt)
            run = self.model.transformer.run(clean, ablated.start).without_sources()
            items = [prompts.items[i] for i in members]
            prepared.append(
                Batch(run, ablated.replacement, [x.answers for x in items], [x.wrong_answers for x in items])
            )
        return prepared

    def evaluator(self, request: Request) -> Evaluator:
        """Return the evaluator on the prompts of the request's split, or on the pairs the user typed."""
        if request.pairs:
            prompts = own_prompts(request.task, self.model, request.pairs, request.bos)
        else:
            prompts = load_prompts(
                request.task, self.model, request.split, request.n_prompts, EVALUATION_SEED, request.bos
            )
        indices = prompts.batches(EVALUATION_BATCH)
        order = [i for members in indices for i in members]
        names = self.model.token_strings
        return Evaluator(self.forward, prompts, self.batches(prompts, indices), order, names, EVALUATION_SEED)


def prepare(request: Request) -> Workbench:
    """Load what a request needs.

    Raises:
        RequestError: see `load_model` and `load_prompts`.
        OutOfMemoryError: an estimate says that it will not fit.
    """
    model = cached_model(request.model, request.dtype, request.weights_hash or "")
    graph = model.shape.graph(request.qkv)
    training = load_prompts(request.task, model, "train", request.n_prompts, request.seed, request.bos)
    needed = check_memory(model, graph, request, training)
    groups = [training.tokens(members, model.device) for members in training.batches(len(training.items))]
    reference = Reference([clean for clean, _ in groups], [corrupt for _, corrupt in groups])
    ablation = ablations.get(request.ablation)
    settings = parse_settings(ablation.Settings, request.ablation_settings)
    replace = ablation.prepare(model.transformer, reference, settings, request.seed)
    forward = MaskedForward(model.transformer, graph)
    return Workbench(model, forward, training, replace, ablation.conditioning(settings), needed)


@lru_cache(maxsize=1)
def cached_model(model: str, dtype: str | None, digest: str) -> Model:
    """Return a loaded model; the last one stays loaded. `digest` tells changed weights apart."""
    return load_model(model, dtype=dtype)
