"""The choosers of Compare: the runs, the size of their circuits, and the ablation of their metrics."""

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.compare.evaluations import OWN, Evaluation, evaluation, missing_evaluations
from app.figures.marks import Mark, run_mark
from app.figures.style import Look
from app.runs import Opened, Shelf, open_run
from app.text import plain
from engine.ablations.base import ablations
from engine.circuits.circuit import Circuit
from engine.errors import CircuitExplorerError
from engine.runs.record import Point

FIRST_RUNS = 3  # what a first visitor sees
HEADING = 46  # px: as high as a button or a select box beside it


@dataclass(frozen=True)
class Compared:
    """One of the runs side by side.

    Attributes:
        mark: its letter, colour and shape.
        label: text that tells the run apart from the others.
        opened: the run.
        size: the size shown, in edges requested: the run's own size nearest to the slider's.
        circuit: its circuit of that size.
        evaluation: where its metrics come from.
    """

    mark: Mark
    label: str
    opened: Opened
    size: int
    circuit: Circuit
    evaluation: Evaluation

    @property
    def name(self) -> str:
        """The run's letter and label: "A  Indirect objects · mean"."""
        return f"{self.mark.letter}  {self.label}"

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.opened.run.run_id

    @property
    def point(self) -> Point | None:
        """The metrics of the circuit; None while it is not evaluated."""
        run = self.evaluation.run
        return None if run is None else run.result.point_at(self.size)


def heading(text: str) -> DeltaGenerator:
    """Draw the heading of a part of the page and return the container at its right."""
    line = st.container(
        horizontal=True,
        horizontal_alignment="distribute",
        vertical_alignment="center",
        height=HEADING,
        border=False,
    )
    line.subheader(text, anchor=False, width="content")
    return line


def choose_runs(shelf: Shelf) -> list[str]:
    """Draw the chooser and return the ids of the runs chosen, in order."""
    wanted = st.session_state.get("compare-runs", first_runs(shelf))
    existing = [run_id for run_id in dict.fromkeys(wanted) if run_id in shelf.runs]
    if gone := [f"'{run_id[:80]}'" for run_id in wanted if run_id not in shelf.runs]:
        st.warning(
            plain(f"Not among the runs here, so left out: {', '.join(gone)}."), icon=":material/folder_off:"
        )
    st.session_state["compare-runs"] = existing
    return st.multiselect(
        "Runs side by side",
        list(shelf.runs),
        key="compare-runs",
        format_func=shelf.label,
        placeholder="Choose runs",
        wrap=True,
        persist_state="session",
    )


def first_runs(shelf: Shelf) -> list[str]:
    """Return the runs shown by default: the first one and others of its model and task, else any two."""
    runs = list(shelf.runs.values())
    alike = [
        run.run_id
        for run in runs
        if (run.request.model, run.request.task) == (runs[0].request.model, runs[0].request.task)
    ]
    return alike[:FIRST_RUNS] if len(alike) > 1 else [run.run_id for run in runs[:2]]


def open_runs(run_ids: list[str]) -> list[Opened]:
    """Open the runs; name on the page those that cannot be opened, and leave them out."""
    opened = []
    for run_id in run_ids:
        try:
            opened.append(open_run(run_id))
        except CircuitExplorerError as error:
            st.error(plain(f"{error}. It is left out."), icon=":material/error:")
    return opened


def choose_under() -> str:
    """Draw the chooser of the ablation that all circuits are evaluated under; return its name, or `OWN`."""
    names = [OWN, *ablations.names()]
    if st.session_state.get("compare-under") not in names:
        st.session_state["compare-under"] = OWN
    return st.selectbox(
        "Evaluated under",
        names,
        key="compare-under",
        format_func=lambda name: "the ablation of each" if name == OWN else ablations.get(name).title,
        help="The ablation that stands in for the edges outside a circuit when its metrics are measured: the "
        "one each run was found under, or one and the same for all.",
        persist_state="session",
    )


def choose_size(opened: list[Opened]) -> int:
    """Draw the slider of the size of all circuits and return the size asked for, in edges."""
    sizes = sorted({size for run in opened for size in run.sizes})
    own, before = opened[0].size, st.session_state.get("compare-own-size")
    wanted = st.session_state.get("compare-edges")
    st.session_state["compare-own-size"] = own
    if wanted is None or wanted == before:  # nobody moved the slider: a new first run brings its own size
        wanted = own
    st.session_state["compare-edges"] = _nearest(sizes, wanted)
    if len(sizes) == 1:
        return sizes[0]
    return st.select_slider(
        "Edges kept",
        sizes,
        key="compare-edges",
        format_func=lambda size: f"{size:,}",
        help="The edges with the highest scores of each run. Those on no path from the input to the "
        "logits are then pruned, so that a picture may have a few less.",
        persist_state="session",
    )


def side_by_side(
    opened: list[Opened], size: int, under: str, label: Callable[[str], str], scheme: Look
) -> list[Compared]:
    """Return the runs with their marks, circuits of the size asked for, and evaluations."""
    sides = []
    for place, run in enumerate(opened):
        mark, own_size = run_mark(place, scheme), _nearest(list(run.sizes), size)
        measured = evaluation(run, under, mark.sign)
        sides.append(Compared(mark, label(run.run.run_id), run, own_size, run.circuit(own_size), measured))
    return sides


def missing(compared: list[Compared], under: str) -> None:
    """Name the runs not evaluated under the common ablation, and draw the button that evaluates them."""
    if under != OWN:
        missing_evaluations([side.evaluation for side in compared], "compare-evaluate", f"under {under}")


def groups(compared: list[Compared]) -> list[list[Compared]]:
    """Group the runs by the shape of their graphs: only circuits of the same graph share edges."""
    by_graph: dict[object, list[Compared]] = {}
    for side in compared:
        by_graph.setdefault(side.opened.graph, []).append(side)
    return list(by_graph.values())


def _nearest(sizes: list[int], wanted: int) -> int:
    return min(sizes, key=lambda size: abs(size - wanted))
