"""What the page "Causal tracing" shows: everything traced of one prompt, or of the prompts of one task."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from app.runs import Shelf, told_apart
from engine.instruments.trace.find import task_trace
from engine.instruments.trace.instrument import TraceInstrument
from engine.instruments.trace.request import Trace
from engine.instruments.trace.result import TraceResult
from engine.instruments.words import model_name, title_of
from engine.runs.folder import Run
from engine.runs.request import Request, readable_id
from engine.tracing.base import corruptions
from engine.tracing.cells import METRICS

TraceRun: TypeAlias = Run[Trace, TraceResult]
Pair: TypeAlias = tuple[TraceRun, TraceRun]  # the runs whose difference is shown

METRIC_NAMES = {
    "probability": "Probability",
    "log_probability": "Log-probability",
    "logit_difference": "Logit difference",
}
STATE_NAMES = {"residual": "Residual stream", "attention": "Attention", "mlp": "MLP", "head": "Single heads"}
EFFECT = (
    "An effect is the restored value less the value with nothing restored, under the same noise or the same "
    "constant."
)
PAIR = ("optimal", "gaussian")  # whose difference is shown, the first less the second
HELD_OUT = {"random": "ways of asking held out at random", "relations": "whole relations held out"}
_SAME = ("model", "weights_hash", "task_hash", "bos", "dtype", "n_prompts", "seed")


@dataclass(frozen=True)
class TraceSubject:
    """A prompt, or the prompts of a task, of one model, and the runs about them.

    Attributes:
        key: what the address calls it.
        title: what the page calls it.
        label: what the chooser calls it: no two are alike.
        request: one of the requests about it.
        runs: the finished ones.
    """

    key: str
    title: str
    label: str
    request: Trace
    runs: tuple[TraceRun, ...]

    @property
    def own(self) -> bool:
        """Whether it is a prompt of the user's."""
        return self.request.trace.prompt is not None

    def of(self, state: str, window: int, corruption: str) -> list[TraceRun]:
        """Return the runs of one state, window and corruption.

        Those with default settings come first, and among them those that hold out at random.
        """
        wanted = (state, window, corruption)
        runs = [
            run
            for run in self.runs
            if (run.request.trace.state, run.request.trace.window, run.request.ablation) == wanted
        ]

        def order(run: TraceRun) -> tuple[bool, bool, str]:
            return not _has_defaults(run.request), run.request.trace.holdout != "random", run.run_id

        return sorted(runs, key=order)

    def corruptions(self) -> list[str]:
        """Return the corruptions of its runs, in the order of `corruption_names`.

        Those not known here come last: a run may come from anywhere.
        """
        with_runs = {run.request.ablation for run in self.runs}
        names = corruption_names()
        return [name for name in names if name in with_runs] + sorted(with_runs - set(names))


def corruption_names() -> list[str]:
    """Return the corruptions there are: optimal ablation, Gaussian noise, then all others by name."""
    return sorted(corruptions.names(), key=lambda name: (name not in PAIR, name != PAIR[0], name))


def corruption_title(name: str) -> str:
    """Return the title of a corruption; of one not known here, its name."""
    return corruptions.get(name).title if name in corruptions.names() else name


def key_of(corruption: str) -> str:
    """Return what keys of widgets and views call a corruption: one not known here can be called anything."""
    return corruption if corruption in corruptions.names() else f"unknown-{corruption}"


def metric_words(request: Trace, metric: str) -> str:
    """Return what an effect is measured in, within a sentence.

    The logit difference of an answer of several tokens is that of its first; the model's own answer is one
    token.
    """
    one_token = request.trace.prompt is not None and request.trace.answer is None
    words = METRIC_NAMES[metric].lower()
    return words if metric != "logit_difference" or one_token else f"{words} (first token)"


def _has_defaults(request: Trace) -> bool:
    """Return whether the corruption's settings are those it begins with."""
    if request.ablation not in corruptions.names():
        return True
    fields = corruptions.get(request.ablation).Settings.model_fields
    chosen = request.ablation_settings.items()
    return all(name in fields and fields[name].default == value for name, value in chosen)


def subject_key(request: Trace) -> str:
    """Return what tells a subject from others: readable parts and a hash."""
    trace = request.trace.model_dump(exclude={"state", "window"})
    if request.trace.prompt is not None:
        trace.pop("holdout")
    about = [request.task, trace, *(getattr(request, name) for name in _SAME)]
    text = request.trace.subject or request.task
    return readable_id([model_name(request.model), text.rsplit("/", 1)[-1]], about)


def subjects(shelf: Shelf, asked: Iterable[Request]) -> dict[str, TraceSubject]:
    """Return what there is to show, by key: what is shipped first, then the user's.

    Args:
        asked: requests that are being carried out; a subject may have nothing else yet.
    """
    runs: dict[str, list[TraceRun]] = {}
    requests: dict[str, Trace] = {}
    for run in sorted(shelf.of(TraceInstrument), key=lambda run: not run.shipped):
        key = subject_key(run.request)
        runs.setdefault(key, []).append(run)
        requests.setdefault(key, run.request)
    for request in asked:
        if isinstance(request, Trace):
            requests.setdefault(subject_key(request), request)
    titles = {key: _title_of(request) for key, request in requests.items()}
    labels = told_apart(
        {key: f"{titles[key]} · {model_name(request.model)}" for key, request in requests.items()}
    )
    return {
        key: TraceSubject(key, titles[key], labels[key], request, tuple(runs.get(key, ())))
        for key, request in requests.items()
    }


def _title_of(request: Trace) -> str:
    """Return what a subject is called, of whatever model."""
    if request.trace.prompt is not None:
        answers = (("→", request.trace.answer), ("against", request.trace.wrong_answer))
        typed = "".join(f" {word} “{answer.strip()}”" for word, answer in answers if answer)
        return f"“{request.trace.prompt}”{typed}"
    split = "" if request.trace.holdout == "random" else " · relations held out"
    return f"{title_of('task', request.task)}, all prompts{split}"


def effects_of(run: TraceRun, metric: str) -> np.ndarray:
    """Return the effects of a run in one metric; nan where there is none.

    Of a prompt they are the mean over draws, [S, C]; of a task the mean over prompts, [classes, C].
    """
    i = METRICS.index(metric)
    if not run.result.classes:
        return run.tensors["effects"][..., i].mean(2)
    rows = [of_class.effects[metric] for of_class in run.result.classes.values()]
    return np.array([[np.nan if estimate is None else estimate.mean for estimate in row] for row in rows])


def restored_of(run: TraceRun, metric: str) -> np.ndarray:
    """Return what the answer to a prompt is worth with every state restored, the mean over draws, [S, C]."""
    return run.tensors["restored"][..., METRICS.index(metric)].mean(2)


def shape_of(run: TraceRun) -> tuple[int, ...]:
    """Return what runs side by side have in common: tokens or classes of them, columns, heads of a layer."""
    effects = run.tensors.shapes["effects"]
    return *(effects[1:3] if run.result.classes else effects[:2]), run.result.n_heads


def settings_text(run: TraceRun, among: Sequence[TraceRun] = ()) -> str:
    """Return the settings that tell a run of a corruption from others, in words.

    Args:
        among: the runs of this corruption to choose from; if they differ in what is held out, that is said.
    """
    settings = run.request.ablation_settings.items()
    parts = [f"{name.replace('_', ' ')} {value}" for name, value in settings]
    if len({other.request.trace.holdout for other in among}) > 1:
        parts.insert(0, HELD_OUT[run.request.trace.holdout])  # a chooser may show no more than the beginning
    return ", ".join(parts)


def training_text(request: Trace) -> str:
    """Return what trained a corruption, and in which run if not in this one; "" if nothing did."""
    if request.ablation not in corruptions.names() or not corruptions.get(request.ablation).trained:
        return ""
    whole = task_trace(request)
    where = "" if whole is None else f" of run {whole.run_id()}"
    return (
        f"constants{where} trained on {title_of('task', request.task).lower()} that the model knows, "
        f"train split, {HELD_OUT[request.trace.holdout]}"
    )
