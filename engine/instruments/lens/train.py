"""The findings of training lenses: trained parameters of every lens, and metrics on held-out texts.

Validation texts select the parameters that are kept; held-out texts serve for metrics and for faithfulness.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.arrays import Numbers
from engine.instruments.lens.request import TrainLenses
from engine.lenses.base import LENSES, Basis, Lens, Parameters, Place, all_places, lenses
from engine.lenses.faithfulness import faithfulness
from engine.lenses.imported import load_translators, reads_uncentred, stream_means
from engine.lenses.measuring import METRICS, measure
from engine.lenses.settings import LensTraining
from engine.lenses.texts import load_texts
from engine.lenses.training import Job, mean_attention, train
from engine.metrics import estimate
from engine.models import Model
from engine.progress import Report, part_of
from engine.runs.found import Found
from engine.workbench.ready import Workbench

EVALUATION_SEED = 0  # of the intervals


def train_lenses(asked: TrainLenses, bench: Workbench, report: Report) -> Found:
    """Return the trained parameters ("<lens>.<parameter>"), and the distances of the lenses from the model.

    Raises:
        RequestError: the file of texts cannot be used.
    """
    model, settings = bench.model, asked.lens_training
    places = all_places(model.shape, bool(settings.middle))
    texts = load_texts(model, settings, asked.seed, part_of(report, 2, 10, 100))
    job = Job(model.transformer, places, texts.training, texts.validation, settings.batch, asked.seed)
    means = part_of(report, 10, 12, 100)
    basis = Basis(
        model.transformer, places, mean_attention(model.transformer, texts.training, settings.batch, means)
    )
    trained: dict[str, tuple[Lens, Parameters]] = {}
    history: dict[str, list[float]] = {}
    names = _in_order(settings)
    for done, name in enumerate(names):
        lens = lenses.get(name)
        parameters, recipe = lens.start(basis), lens.recipe(settings)
        if name == "tuned" and settings.tuned_from is not None:
            loaded = load_translators(Path(settings.tuned_from), model.shape)
            parameters = {key: value.to(model.device) for key, value in loaded.items()}
        elif recipe is not None:
            teacher = None if recipe.teacher is None else trained[recipe.teacher]
            within = part_of(report, 12 + 70 * done // len(names), 12 + 70 * (done + 1) // len(names), 100)
            parameters, steps = train(replace(job, teacher=teacher), lens, recipe, parameters, within)
            history |= {f"{name}.{key}": values for key, values in steps.items()}
        trained[name] = (lens, parameters)
    uncentred = [name for name in trained if reads_uncentred(model, settings, name)]

    def means_at(tokens: Tensor) -> Tensor:
        return stream_means(model, tokens, places)

    within = part_of(report, 82, 90, 100)
    measured = measure(
        model.transformer, trained, places, texts.held_out, within, dict.fromkeys(uncentred, means_at)
    )
    faithful = faithfulness(
        model.transformer,
        {name: of_lens for name, of_lens in trained.items() if name not in uncentred},
        places,
        texts.training,
        texts.held_out,
        settings,
        asked.seed,
        part_of(report, 90, 100, 100),
    )
    tensors = {
        f"{name}.{key}": value.float().cpu().numpy()
        for name, (_, parameters) in trained.items()
        for key, value in parameters.items()
    }
    tensors |= {f"kl.{name}": values[..., 0].numpy() for name, values in measured.lenses.items()}
    result: dict[str, Any] = {
        "texts": texts.source,
        "n_training": len(texts.training),
        "n_validation": len(texts.validation),
        "n_texts": len(texts.held_out),
        "positions": {
            "training": texts.training.positions,
            "validation": texts.validation.positions,
            "held_out": texts.held_out.positions,
        },
        "length": settings.length,
        "places": [place.name for place in places],
        "lenses": {
            name: {"parameters": lens.count(parameters, places), **_estimates(measured.lenses[name].numpy())}
            for name, (lens, parameters) in trained.items()
        },
        "model": {
            metric: estimate(measured.model[:, i].double().numpy(), EVALUATION_SEED)
            for i, metric in enumerate(METRICS)
            if metric != "kl"
        },
        "faithfulness": faithful,
    }
    notes = [
        "trained constants and translators are kept where they are best on validation texts; "
        "other texts, held out, are measured"
    ]
    if uncentred:
        notes.append("imported translators read the uncentred stream; their faithfulness is not tested")
    return Found(result, tensors, history=history, notes=notes)


def _in_order(settings: LensTraining) -> list[str]:
    """Return the names of all lenses, those that learn from another lens last."""
    names = [*LENSES, *(name for name in lenses.names() if name not in LENSES)]

    def learns_from_another(name: str) -> bool:
        recipe = lenses.get(name).recipe(settings)
        return recipe is not None and recipe.teacher is not None

    return sorted(names, key=learns_from_another)


def _estimates(values: Numbers) -> dict[str, list[dict[str, Any]]]:
    """Return every metric at every place with its interval over texts, for values [n_texts, P, 3]."""
    of_metric = np.moveaxis(values.astype(np.float64), 2, 0)
    return {
        metric: [estimate(column, EVALUATION_SEED) for column in of_metric[i].T]
        for i, metric in enumerate(METRICS)
    }


def basis_shapes(model: Model, places: list[Place]) -> Basis:
    """Return a basis on the meta device, for parameters of which only the shapes are needed."""
    d, layers = model.shape.d_model, model.shape.n_layers
    return Basis(model.transformer, places, torch.empty((layers, d), device="meta"))
