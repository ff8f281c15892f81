"""Data of the page "Causal tracing": all traces of one prompt, or of the prompts of one task."""

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
from engine.settings import settings_to_json
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
    """A model with a prompt, or with the prompts of a task, and the runs that trace them.

    Attributes:
        key: its key in the address.
        title: its title on the page.
        label: its label in the chooser; no two are alike.
        request: a request about this subject.
        runs: the finished runs about this subject.
    """

    key: str
    title: str
    label: str
    request: Trace
    runs: tuple[TraceRun, ...]

    @property
    def own(self) -> bool:
        """Whether the subject is a prompt typed by the user."""
        return self.request.trace.prompt is not None

    def of(self, state: str, window: int, corruption: str) -> list[TraceRun]:
        """Return the runs of one state, window and corruption.

        Runs with default settings come first, and among them those with a random holdout.
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
        """Return the corruptions of the subject's runs, in the order of `corruption_names`.

        Unknown ones, which an imported run may have, come last.
        """
        with_runs = {run.request.ablation for run in self.runs}
        names = corruption_names()
        return [name for name in names if name in with_runs] + sorted(with_runs - set(names))


def corruption_names() -> list[str]:
    """Return the names of all corruptions: optimal ablation, Gaussian noise, then all others by name."""
    return sorted(corruptions.names(), key=lambda name: (name not in PAIR, name != PAIR[0], name))


def corruption_title(name: str) -> str:
    """Return the title of a corruption; of an unknown one, its name."""
    return corruptions.get(name).title if name in corruptions.names() else name


def key_of(corruption: str) -> str:
    """Return the key of a corruption for widgets and views; an unknown name gets a prefix."""
    return corruption if corruption in corruptions.names() else f"unknown-{corruption}"


def metric_words(request: Trace, metric: str) -> str:
    """Return the metric of effects in words, for use within a sentence.

    The logit difference of an answer of several tokens is that of its first token; an answer that the model
    gives itself is one token.
    """
    one_token = request.trace.prompt is not None and request.trace.answer is None
    words = METRIC_NAMES[metric].lower()
    return words if metric != "logit_difference" or one_token else f"{words} (first token)"


def _has_defaults(request: Trace) -> bool:
    """Return whether the corruption has its default settings."""
    if request.ablation not in corruptions.names():
        return True
    fields = corruptions.get(request.ablation).Settings.model_fields
    chosen = request.ablation_settings.items()
    return all(name in fields and fields[name].default == value for name, value in chosen)


def subject_key(request: Trace) -> str:
    """Return the key of a subject: readable parts and a hash."""
    trace = settings_to_json(request.trace)
    for name in ("state", "window"):
        trace.pop(name)
    if request.trace.prompt is not None:
        trace.pop("holdout")
    about = [request.task, trace, *(getattr(request, name) for name in _SAME)]
    text = request.trace.subject or request.task
    return readable_id([model_name(request.model), text.rsplit("/", 1)[-1]], about)


def subjects(shelf: Shelf, asked: Iterable[Request]) -> dict[str, TraceSubject]:
    """Return the subjects by key, those of shipped runs first.

    Args:
        asked: requests of active jobs, whose subjects may have no run yet.
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
    """Return the title of a subject, without the model."""
    if request.trace.prompt is not None:
        answers = (("→", request.trace.answer), ("against", request.trace.wrong_answer))
        typed = "".join(f" {word} “{answer.strip()}”" for word, answer in answers if answer)
        n = request.trace.subject_occurrence
        which = f" · {request.trace.subject} no. {n}" if n > 1 else ""
        return f"“{request.trace.prompt}”{which}{typed}"
    split = "" if request.trace.holdout == "random" else " · relations held out"
    return f"{title_of('task', request.task)}, all prompts{split}"


def effects_of(run: TraceRun, metric: str) -> np.ndarray:
    """Return the effects of a run in one metric; nan where there is none.

    For a prompt: the mean over draws, [S, C]. For a task: the mean over prompts, [classes, C].
    """
    i = METRICS.index(metric)
    if not run.result.classes:
        return run.tensors["effects"][..., i].mean(2)
    rows = [of_class.effects[metric] for of_class in run.result.classes.values()]
    return np.array([[np.nan if estimate is None else estimate.mean for estimate in row] for row in rows])


def restored_of(run: TraceRun, metric: str) -> np.ndarray:
    """Return the metric of a prompt's answer with each state restored, the mean over draws, [S, C]."""
    return run.tensors["restored"][..., METRICS.index(metric)].mean(2)


def shape_of(run: TraceRun) -> tuple[int, ...]:
    """Return the shape that runs side by side share: tokens or classes, columns, and heads per layer."""
    effects = run.tensors.shapes["effects"]
    return *(effects[1:3] if run.result.classes else effects[:2]), run.result.n_heads


def settings_text(run: TraceRun, among: Sequence[TraceRun] = ()) -> str:
    """Return the settings of a run's corruption in words.

    Args:
        among: the runs of this corruption; if their holdouts differ, the holdout is named too.
    """
    settings = run.request.ablation_settings.items()
    parts = [f"{name.replace('_', ' ')} {value}" for name, value in settings]
    if len({other.request.trace.holdout for other in among}) > 1:
        parts.insert(0, HELD_OUT[run.request.trace.holdout])  # a chooser may show no more than the beginning
    return ", ".join(parts)


def training_text(request: Trace) -> str:
    """Return how a corruption was trained, and in which run if not this one; "" for an untrained one."""
    if request.ablation not in corruptions.names() or not corruptions.get(request.ablation).trained:
        return ""
    whole = task_trace(request)
    where = "" if whole is None else f" of run {whole.run_id()}"
    return (
        f"constants{where} trained on {title_of('task', request.task).lower()} that the model knows, "
        f"train split, {HELD_OUT[request.trace.holdout]}"
    )
