"""Details of the selected run: its request, its course, and measurements of its circuits."""

import streamlit as st

from app.parts.notes import show_notes
from app.runs import Shelf, kind_name, own_title, run_title
from app.text import plain
from app.views import views
from engine.runs.folder import AnyRun


def run_detail(run: AnyRun, shelf: Shelf) -> None:
    """Draw a run: its metrics with intervals, its request, versions, and measurements of its circuits."""
    view, title = views.get(run.request.kind), own_title(run)
    st.markdown(f"**{plain(title or run_title(run.request))}**")
    if title is not None:
        st.caption(plain(run_title(run.request)))
    left, right = st.columns(2, gap="medium")
    with left:
        _facts("How good", view.good(run))
        _facts("How it went", _course(run))
    with right:
        about = {"kind": kind_name(run.request.kind), "model": run.request.model}
        _facts("What was asked", about | view.asked(run))
    show_notes([run])
    if children := measured_of(run, shelf):
        st.caption(plain(f"Measured of it: {', '.join(child_title(child) for child in children)}."))


def measured_of(run: AnyRun, shelf: Shelf) -> list[AnyRun]:
    """Return the evaluations and measurements of a run's circuits."""
    return [other for other in shelf.others.values() if run.run_id in other.request.measured_runs()]


def child_title(run: AnyRun) -> str:
    """Return a short description of a run that measured circuits of another run."""
    under = ", ".join(run.request.facets()["ablation"])
    return f"{kind_name(run.request.kind).lower()} under {under} ({run.run_id.rsplit('-', 1)[-1]})"


def _facts(title: str, facts: dict[str, str]) -> None:
    st.caption(title)
    st.table({plain(label): plain(value) for label, value in facts.items()}, border="horizontal")


def _course(run: AnyRun) -> dict[str, str]:
    result, timings = run.result, run.result.timings
    versions = ", ".join(f"{name} {number}" for name, number in result.versions.items())
    return {
        "created": result.created,
        "seconds": f"{timings.seconds:.0f}, of them {timings.evaluation_seconds:.0f} of evaluation",
        "on": f"{result.device}, {result.dtype}",
        "with": versions,
        "folder": str(run.folder),
    }
