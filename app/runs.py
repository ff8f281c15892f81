"""Runs for the pages: opened once and cached, with their labels and descriptions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import streamlit as st

from engine.circuits.circuit import Circuit, circuit_from_json, top_edges
from engine.circuits.graph import Graph
from engine.discovery.base import has_signed_scores
from engine.errors import RequestError
from engine.instruments.base import Answer, Asked, Instrument, instrument_of, instruments
from engine.instruments.words import model_name, title_of
from engine.runs.folder import AnyRun, Run
from engine.runs.notes import read_notes
from engine.runs.record import CurveResult
from engine.runs.request import OfACircuit, OfATask, Request
from engine.runs.store import BrokenRun, RunStore

FIRST = ("explorer-4l", "ioi", "counterfactual")  # the run a first visitor sees


@dataclass(frozen=True)
class Opened:
    """A finished run that has a graph of its own, with the data of its figures.

    Attributes:
        run: the run.
        graph: its model's graph.
        scores: of every edge, float [n_edges].
        about: model, task, method and ablation, for exports.
        signed: the scores are signed effects.
        sizes: the slider's sizes, ascending: edges requested -> edges left after pruning dangling ones.
        size: the size among `sizes` nearest to the size that was asked for.
    """

    run: Run[OfACircuit, CurveResult]
    graph: Graph
    scores: np.ndarray
    about: dict[str, Any]
    signed: bool
    sizes: dict[int, int]
    size: int

    @property
    def request(self) -> OfACircuit:
        """The request that was run."""
        return self.run.request

    def circuit(self, size: int) -> Circuit:
        """Return the circuit of the `size` highest scores, without dangling edges."""
        return top_edges(self.graph, self.scores, size, self.about)


@st.cache_resource
def store() -> RunStore:
    """Return the run store: shipped runs and the user's own."""
    return RunStore()


@dataclass(frozen=True)
class Shelf:
    """All runs in the store.

    Attributes:
        runs: those with a graph of their own, by id.
        others: runs without a graph of their own, such as evaluations and sweeps, by id.
        broken: the folders that could not be opened.
    """

    runs: dict[str, Run[OfACircuit, CurveResult]]
    others: dict[str, AnyRun]
    broken: list[BrokenRun]

    def of(self, instrument: type[Instrument[Asked, Answer]]) -> list[Run[Asked, Answer]]:
        """Return the runs of one instrument, in the order of the shelf."""
        return [run for run in self.everything() if run.request.kind == instrument.kind]

    def everything(self) -> list[AnyRun]:
        """Return all runs, those with a graph of their own first."""
        return [*self.runs.values(), *self.others.values()]

    def label(self, run_id: str) -> str:
        """Return the title the user gave this run, or a short line on it; no two are alike."""
        return self._labels[run_id]

    @cached_property
    def _labels(self) -> dict[str, str]:
        several = [
            name
            for name in ("method", "seed", "model")
            if len({_told_by(run.request)[name] for run in self.runs.values()} - {None}) > 1
        ]
        return told_apart(
            {run_id: own_title(run) or _line(run.request, several) for run_id, run in self.runs.items()}
        )


def told_apart(
    labels: Mapping[str, str], further: Sequence[Mapping[str, str]] = (), between: str = " · "
) -> dict[str, str]:
    """Return labels of which no two are alike: equal ones get the end of their key as a suffix.

    A chooser identifies options by their labels: with two alike, the wrong one would be opened.

    Args:
        labels: by key.
        further: suffixes by key, tried before the end of the key, in turn, on labels that are alike.
        between: separator before a suffix.
    """
    apart = dict(labels)
    for words in (*further, {key: key.rsplit("-", 1)[-1] for key in labels}):
        alike: dict[str, list[str]] = {}
        for key, label in apart.items():
            alike.setdefault(label, []).append(key)
        for label, keys in alike.items():
            if len({words[key] for key in keys}) > 1:
                apart |= {key: f"{label}{between}{words[key]}" for key in keys}
    return apart


def _told_by(request: OfACircuit) -> dict[str, object]:
    method = request.facets()["method"]
    return {"method": method[0] if method else None, "seed": request.seed, "model": request.model}


def _line(request: OfACircuit, several: Sequence[str]) -> str:
    parts, told_by = [title_of("task", request.task), request.ablation], _told_by(request)
    if "method" in several and told_by["method"] is not None:
        parts.append(title_of("method", str(told_by["method"])))
    if "seed" in several and request.seed:  # 0 is what nobody chose
        parts.append(f"seed {request.seed}")
    return " · ".join([*parts, *([model_name(request.model)] if "model" in several else [])])


def shelf() -> Shelf:
    """Return the runs to choose from: shipped ones first, then the user's, newest first."""
    runs = store()
    stamps = tuple(
        folder.stat().st_mtime_ns if folder.is_dir() else 0 for folder in (runs.shipped_dir, runs.user_dir)
    )
    return _shelf(stamps)


@st.cache_resource(max_entries=1, show_spinner=False)
def _shelf(stamps: tuple[int, ...]) -> Shelf:
    # Runs appear whole or not at all, so a folder's time of change tells whether to look again.
    runs = store().list()
    with_graph = [run for run in runs if run.circuit is not None]
    with_graph.sort(key=lambda run: (not run.shipped, _subject(run.request) != FIRST))
    others = {run.run_id: run for run in runs if run.circuit is None}
    return Shelf({run.run_id: run for run in with_graph}, others, store().list_broken())


def own_title(run: AnyRun) -> str | None:
    """Return the title that the user gave a run; None if there is none."""
    return read_notes(store(), run).title


def _subject(request: OfACircuit) -> tuple[str, str, str]:
    return request.model, request.task, request.ablation


def open_run(run_id: str) -> Opened:
    """Open a run that has a graph of its own.

    Raises:
        RequestError: there is no such run, or its folder is broken.
    """
    # The time is part of the key: a run that was deleted and made again is another.
    return read_opened(run_id, store().get(run_id).folder.stat().st_mtime_ns)


@st.cache_resource(max_entries=12, show_spinner=False)
def read_opened(run_id: str, stamp: int) -> Opened:
    """Open a run as it was at the time `stamp` of its folder."""
    run = store().get(run_id)
    if run.circuit is None:
        raise RequestError(f"run '{run_id}' has no graph of its own; open the run it was made for")
    sizes: dict[int, int] = {}
    for point in run.result.curve:
        # More edges of which all dangle make the same circuit, and too few make none.
        if point.n_edges > 0 and point.n_edges not in sizes.values():
            sizes[point.edges_requested] = point.n_edges
    if not sizes:
        raise RequestError(
            f"run '{run_id}' has no circuit of any size: no path leads from the input to the logits"
        )
    asked = run.result.summary.n_edges
    size = min(sizes, key=lambda requested: abs(sizes[requested] - asked))
    method = run.request.facets()["method"]
    signed = has_signed_scores(method[0] if method else None)
    circuit = circuit_from_json(run.circuit)
    return Opened(run, circuit.graph, run.tensors["scores"], circuit.about, signed, sizes, size)


def run_title(request: Request) -> str:
    """Return a one-line description of a request."""
    return instrument_of(request).line(request)


def kind_name(kind: str) -> str:
    """Return the title of a kind of runs."""
    return instruments.get(kind).title


def provenance(opened: Opened, shown: AnyRun | None) -> str:
    """Return the line under every figure: where its numbers come from.

    Args:
        opened: the run whose circuit is shown.
        shown: the run whose evaluation is shown, `opened.run` itself or an evaluation of it; None if there is
            none yet.
    """
    request = opened.request
    how, run = ("", opened.run) if shown is None else (f", {evaluated(shown)}", shown)
    return f"{_about(request)} · {found_by(opened)}{how} · seed {request.seed} · run {run.run_id}"


def found_by(opened: Opened) -> str:
    """Return the origin of a run's circuit: its method and ablation, or "imported"."""
    method = opened.request.facets()["method"]
    if not method:
        foreign = opened.about.get("method")
        return "imported" if foreign is None else f"imported, of method {foreign}"
    return f"{title_of('method', method[0])}, found under {opened.request.ablation}"


def measured(run: AnyRun) -> str:
    """Return the source of a measurement's numbers in one line; for a circuit's see `provenance`."""
    return f"{_about(run.request)} · {evaluated(run)} · seed {run.request.seed} · run {run.run_id}"


def measured_under_several(runs: Sequence[AnyRun], n: int) -> str:
    """Return the source of numbers under several ablations, all on the same `n` prompts, in one line."""
    request = runs[0].request
    ids = ", ".join(run.run_id for run in runs)
    return f"{_about(request)} · {n} prompts of the {request.split} split · seed {request.seed} · runs {ids}"


def _about(request: OfATask) -> str:
    return f"{model_name(request.model)} · {title_of('task', request.task)}"


def evaluated(shown: AnyRun) -> str:
    """Return how the numbers of a run were measured: ablation, conditioning, prompts."""
    n = shown.result.summary.kl.n
    return f"evaluated under {conditioned(shown)} on {n} prompts of the {shown.request.split} split"


def conditioned(run: AnyRun) -> str:
    """Return the ablation of a run with its conditioning, if it has constants: "mean (per position)"."""
    conditioning = run.result.conditioning
    return run.request.ablation + ("" if conditioning == "none" else f" ({conditioning})")
