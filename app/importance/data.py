"""Data of the page "Ablations": everything measured for one model, task and set of prompts.

The first source of a graph, the input, is no component in the sense of the paper: it is shown apart and left
out of all comparisons.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import streamlit as st

from app.requests import SAME, defaults
from app.runs import FIRST, Shelf, conditioned, store, told_apart
from engine.ablations.base import ablations
from engine.errors import CircuitExplorerError
from engine.instruments.importance.comparison import LEAST, Gaps, gaps
from engine.instruments.importance.instrument import ImportanceInstrument
from engine.instruments.importance.request import Importance
from engine.instruments.importance.result import ImportanceResult
from engine.instruments.words import model_name, title_of
from engine.runs.folder import Run
from engine.runs.record import Estimate
from engine.runs.request import Request, readable_id

_COMPONENT = re.compile(r"a(\d{1,3})\.h(\d{1,3})|m(\d{1,3})")  # a few hundred: a file may come from anywhere
INPUT = "input"


@dataclass(frozen=True)
class Series:
    """Δ of every component under one ablation.

    Attributes:
        key: its key in the address: the ablation, and a suffix if its settings are not the default ones.
        name: its name on the page, with the conditioning: "mean (per position)".
        conditioning: "per position" or "shared" where the ablation has that setting, else None.
        run: the run that measured it.
        gaps: Δ of the subject's components; nan where it was not measured.
        prompts: KL of every node on every prompt, nats [n_prompts]; empty if not known.
    """

    key: str
    name: str
    conditioning: str | None
    run: Run[Importance, ImportanceResult]
    gaps: Gaps
    prompts: Mapping[str, np.ndarray]

    @property
    def ablation(self) -> str:
        """The ablation's name."""
        return self.run.request.ablation

    def estimate(self, node: str) -> Estimate | None:
        """Return Δ of a component or of the input; None where it was not measured."""
        values = self.run.result.nodes.get(node)
        return None if values is None else values["kl"]


@dataclass(frozen=True)
class Subject:
    """A model, a task and a set of prompts, and the runs about them.

    Attributes:
        key: its key in the address.
        label: its name on the page.
        request: a request about this subject.
        runs: the finished runs about this subject.
    """

    key: str
    label: str
    request: Importance
    runs: tuple[Run[Importance, ImportanceResult], ...]


def component(node: str) -> tuple[int, int | None] | None:
    """Return (layer, head) of a head, (layer, None) of an MLP, and None of any other node."""
    match = _COMPONENT.fullmatch(node)
    if match is None:
        return None
    layer, head, mlp = match.groups()
    return (int(mlp), None) if mlp is not None else (int(layer), int(head))


def span(values: Sequence[float]) -> tuple[float, float]:
    """Return the values at the ends of a colour scale, in nats; few values are below the lower end."""
    return max(float(np.quantile(values, 0.05)), LEAST), max(values)


def subject_key(request: Importance) -> str:
    """Return the key of a model, task and set of prompts: readable parts and a hash."""
    parts = [model_name(request.model), request.task.rsplit("/", 1)[-1]]
    return readable_id(parts, [getattr(request, name) for name in SAME])


def subjects(shelf: Shelf, asked: Iterable[Request]) -> dict[str, Subject]:
    """Return the subjects by key: the demo model on its first task first, then in the order of the runs.

    Args:
        asked: requests of active jobs, whose subjects may have no run yet.
    """
    runs: dict[str, list[Run[Importance, ImportanceResult]]] = {}
    requests: dict[str, Importance] = {}
    for run in sorted(shelf.of(ImportanceInstrument), key=lambda run: not run.shipped):
        runs.setdefault(subject_key(run.request), []).append(run)
        requests.setdefault(subject_key(run.request), run.request)
    for request in asked:
        if isinstance(request, Importance):
            requests.setdefault(subject_key(request), request)
    order = sorted(requests, key=lambda key: (requests[key].model, requests[key].task) != FIRST[:2])
    labels = _labels({key: requests[key] for key in order})
    return {key: Subject(key, labels[key], requests[key], tuple(runs.get(key, ()))) for key in order}


def _labels(requests: Mapping[str, Importance]) -> dict[str, str]:
    """Return labels by key, which name the fields in which the requests differ."""
    labels = {key: f"{model_name(r.model)} · {title_of('task', r.task)}" for key, r in requests.items()}
    further = [
        {key: words.format(getattr(request, name)) for key, request in requests.items()}
        for name, words in (("n_prompts", "{} prompts"), ("seed", "seed {}"), ("split", "{} split"))
    ]
    return told_apart(labels, further)


@dataclass(frozen=True)
class Measured:
    """All measurements of a subject.

    Attributes:
        components: heads and MLPs that any of its runs has, in computation order.
        series: one for each run, in the order of the ablations' names; the default settings first.
    """

    components: tuple[str, ...]
    series: tuple[Series, ...]

    @cached_property
    def by_key(self) -> dict[str, Series]:
        """The series by key."""
        return {series.key: series for series in self.series}

    def strongest(self, series: Series, n: int) -> list[str]:
        """Return the n components with the largest Δ in a series, largest first."""
        mean = series.gaps.mean
        order = np.argsort(-np.nan_to_num(mean, nan=-np.inf), kind="stable").tolist()
        return [self.components[i] for i in order[:n] if np.isfinite(mean[i])]

    def nodes(self) -> list[str]:
        """Return the nodes of the grid: the components, and the input if any run has it."""
        with_input = any(INPUT in series.run.result.nodes for series in self.series)
        return [*([INPUT] if with_input else []), *self.components]


def measured_of(subject: Subject) -> Measured:
    """Return the measurements of a subject."""
    stamps = tuple((run.run_id, run.folder.stat().st_mtime_ns) for run in subject.runs)
    return read_measured(stamps)


@st.cache_resource(max_entries=6, show_spinner=False)
def read_measured(stamps: tuple[tuple[str, int], ...]) -> Measured:
    """Open runs given by id and time of change (so that the cache notices a run that was made again)."""
    runs = sorted((store().get(run_id) for run_id, _ in stamps), key=_order)
    nodes = {node for run in runs for node in run.result.nodes if component(node) is not None}
    components = tuple(sorted(nodes, key=_computed))
    names = _names(runs)
    series = tuple(_series(run, names[run.run_id], components) for run in runs)
    return Measured(components, series)


def _order(run: Run[Importance, ImportanceResult]) -> tuple[str, bool, str, str]:
    return run.request.ablation, not _by_default(run), chosen_conditioning(run) or "", run.run_id


def _computed(node: str) -> tuple[int, int]:
    layer, head = component(node) or (0, 0)
    return layer, 10_000 if head is None else head


def _by_default(run: Run[Importance, ImportanceResult]) -> bool:
    try:
        return run.request.ablation_settings == defaults(run.request.ablation)
    except CircuitExplorerError:  # an ablation of another version
        return not run.request.ablation_settings


def series_key(run: Run[Importance, ImportanceResult]) -> str:
    """Return the key of a run in the address: its ablation, with a suffix for settings not the defaults."""
    ablation = run.request.ablation
    return ablation if _by_default(run) else f"{ablation}-{run.run_id.rsplit('-', 1)[-1]}"


def _series(run: Run[Importance, ImportanceResult], name: str, components: tuple[str, ...]) -> Series:
    nodes, prompts = run.result.nodes, _prompts(run)
    mean = np.array([nodes[node]["kl"].mean if node in nodes else np.nan for node in components])
    kl = np.array([prompts[node] for node in components]) if set(components) <= prompts.keys() else None
    return Series(series_key(run), name, chosen_conditioning(run), run, gaps(mean, kl), prompts)


def _prompts(run: Run[Importance, ImportanceResult]) -> dict[str, np.ndarray]:
    """Return the run's KL per prompt by node; {} if the array is missing or does not fit the nodes."""
    nodes, shape = list(run.result.nodes), run.tensors.shapes.get("kl", ())
    if len(shape) != 2 or shape[0] != len(nodes) or not shape[1]:
        return {}
    kl = run.tensors["kl"]
    if not np.issubdtype(kl.dtype, np.floating) or not np.isfinite(kl).all():
        return {}
    return dict(zip(nodes, kl, strict=True))


def chosen_conditioning(run: Run[Importance, ImportanceResult]) -> str | None:
    """Return the conditioning of a run whose ablation has that setting; None for any other."""
    try:
        choice = "conditioning" in ablations.get(run.request.ablation).Settings.model_fields
    except CircuitExplorerError:
        choice = True
    conditioning = run.result.conditioning
    return conditioning if choice and conditioning != "none" else None


def _names(runs: Sequence[Run[Importance, ImportanceResult]]) -> dict[str, str]:
    """Return names by run id: the ablation with its conditioning, and settings where two names are alike."""
    names = {
        run.run_id: run.request.ablation if chosen_conditioning(run) is None else conditioned(run)
        for run in runs
    }
    settings: dict[str, str] = {}
    for run in runs:
        alike = [
            other.request.ablation_settings for other in runs if names[other.run_id] == names[run.run_id]
        ]
        settings[run.run_id] = _differing(run.request.ablation_settings, alike)
    return told_apart(names, [settings], between=", ")


def _differing(settings: Mapping[str, Any], alike: Sequence[Mapping[str, Any]]) -> str:
    """Return, in words, the settings in which runs of one ablation differ."""
    keys = sorted(set().union(*alike))
    differing = [key for key in keys if len({str(others.get(key)) for others in alike}) > 1]
    return ", ".join(f"{key.replace('_', ' ')} {settings.get(key)}" for key in differing)
