"""What the page "Causal tracing" shows: everything traced of one prompt, or of the prompts of one task."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from app.data import Shelf, model_name, title_of
from engine.request import Request
from engine.runs import Run
from engine.tracing.cells import METRICS

METRIC_NAMES = {
    "probability": "Probability",
    "log_probability": "Log-probability",
    "logit_difference": "Logit difference",
}
STATE_NAMES = {"residual": "Residual stream", "attention": "Attention", "mlp": "MLP", "head": "Single heads"}
CORRUPTION_NAMES = {"optimal": "Optimal ablation", "gaussian": "Gaussian noise"}
WITHIN = {"optimal": "optimal ablation", "gaussian": "Gaussian noise"}  # in a sentence
_SAME = ("model", "weights_hash", "task_hash", "bos", "dtype", "n_prompts", "seed")


@dataclass(frozen=True)
class TraceSubject:
    """A prompt, or the prompts of a task, of one model, and the runs about them.

    Attributes:
        key: what the address calls it.
        label: what the page calls it.
        request: one of the requests about it.
        runs: the finished ones.
    """

    key: str
    label: str
    request: Request
    runs: tuple[Run, ...]

    @property
    def own(self) -> bool:
        """Whether it is a prompt of the user's."""
        return self.request.trace is not None and self.request.trace.prompt is not None

    def of(self, state: str, window: int, corruption: str) -> list[Run]:
        """Return the runs of one state, window and corruption, those with default settings first."""
        found = [
            run
            for run in self.runs
            if run.request.trace is not None
            and (run.request.trace.state, run.request.trace.window) == (state, window)
            and run.request.ablation == corruption
        ]
        return sorted(
            found, key=lambda run: (run.request.ablation_settings.get("noise", 3.0) != 3.0, run.run_id)
        )


def subject_key(request: Request) -> str:
    """Return what tells a subject from others: readable parts and a hash."""
    assert request.trace is not None
    trace = request.trace.model_dump(exclude={"state", "window"})
    if request.trace.prompt is not None:
        trace.pop("holdout")
    about = [request.task, trace, *(getattr(request, name) for name in _SAME)]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:8]
    text = request.trace.subject or request.task
    parts = [model_name(request.model), text.rsplit("/", 1)[-1], digest]
    return "-".join(re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-")[:40] for part in parts)


def subjects(shelf: Shelf, asked: Iterable[Request]) -> dict[str, TraceSubject]:
    """Return what there is to show, by key: what is shipped first, then the user's.

    Args:
        asked: requests that are being carried out; a subject may have nothing else yet.
    """
    runs: dict[str, list[Run]] = {}
    requests: dict[str, Request] = {}
    for run in sorted(shelf.others.values(), key=lambda run: not run.shipped):
        if run.request.kind == "trace":
            runs.setdefault(subject_key(run.request), []).append(run)
            requests.setdefault(subject_key(run.request), run.request)
    for request in asked:
        if request.kind == "trace":
            requests.setdefault(subject_key(request), request)
    labels = {key: label_of(request) for key, request in requests.items()}
    found = {}
    for key, request in requests.items():
        several = list(labels.values()).count(labels[key]) > 1
        label = f"{labels[key]} · {key.rsplit('-', 1)[-1]}" if several else labels[key]
        found[key] = TraceSubject(key, label, request, tuple(runs.get(key, ())))
    return found


def label_of(request: Request) -> str:
    """Return what a subject is called."""
    assert request.trace is not None
    if request.trace.prompt is not None:
        return f"“{request.trace.prompt}” · {model_name(request.model)}"
    split = "" if request.trace.holdout == "random" else " · relations held out"
    return f"{title_of('task', request.task)}, all prompts{split} · {model_name(request.model)}"


def effects_of(run: Run, metric: str) -> np.ndarray:
    """Return the effects of a run in one metric: [S, C] of a prompt, the mean over draws, or [classes, C] of
    a task, the mean over prompts; nan where there is none."""
    i = METRICS.index(metric)
    if not run.result["classes"]:
        return run.tensors["effects"][..., i].mean(2)
    estimates = [one["effects"][metric] for one in run.result["classes"].values()]
    return np.array([[np.nan if one is None else one["mean"] for one in row] for row in estimates])


def settings_text(run: Run) -> str:
    """Return the settings that tell runs of one corruption apart, in words."""
    settings = run.request.ablation_settings
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items())
