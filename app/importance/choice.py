"""Choices of the page "Ablations": the subject, the ablation shown, the components selected."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.importance.data import Measured, Series, Subject
from app.requests import being_made, importance_by_default, queue, start
from app.text import plain
from engine.ablations.base import ablations
from engine.runs.request import Request

FIRST_SHOWN = ("optimal", "mean")  # the ablation of the grid, as far as it is measured


def asked() -> list[Request]:
    """Return the requests of active jobs."""
    return [job.request for job in queue().jobs() if job.active]


def choose_series(
    measured: Measured, label: str, key: str, among: Sequence[Series], first: str, why: str | None = None
) -> Series:
    """Draw a chooser among measured ablations and return the series chosen.

    Args:
        key: of the widget, and of the parameter in the address.
        among: the series to choose from.
        first: key of the series to begin with.
    """
    keys = [series.key for series in among]
    if st.session_state.get(key) not in keys:
        st.session_state[key] = first
    chosen = st.selectbox(
        label,
        keys,
        key=key,
        format_func=lambda chosen_key: measured.by_key[chosen_key].name,
        help=why,
        persist_state="session",
    )
    return measured.by_key[chosen]


def first_of(measured: Measured, wanted: Sequence[str], but: str = "") -> str:
    """Return the key of a series of the first measured ablation of `wanted`, else of any ablation.

    Args:
        wanted: names of ablations, in order of preference.
        but: a key that is not to be returned.
    """
    allowed = [series for series in measured.series if series.key != but]
    places = {name: place for place, name in enumerate(wanted)}
    return min(allowed, key=lambda series: places.get(series.ablation, len(places))).key


def missing(subject: Subject, measured: Measured | None) -> None:
    """Name the ablations that were not measured, and draw the button that starts them all."""
    done = {series.ablation for series in measured.series} if measured is not None else set()
    lacking = {
        name: importance_by_default(subject.request, name) for name in ablations.names() if name not in done
    }
    active = [name for name, request in lacking.items() if being_made(request)]
    if active:
        st.caption(f":material/hourglass: Being measured: {plain(', '.join(active))}.")
    if waiting := {name: request for name, request in lacking.items() if name not in active}:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"Not measured here yet: {plain(', '.join(waiting))}.", width="content")
            st.button(
                "Measure it" if len(waiting) == 1 else f"Measure these {len(waiting)}",
                key="ablations-measure-missing",
                icon=":material/play_arrow:",
                help="One job an ablation, with its default settings: every component is ablated alone.",
                on_click=start,
                args=(list(waiting.values()),),
            )


def selection(measured: Measured) -> tuple[str, ...]:
    """Return the selected components that were measured."""
    known = measured.nodes()
    return tuple(node for node in st.session_state.get("ablations-select", ()) if node in known)


def on_component(event: dict[str, Any]) -> None:
    """Change the selection by a click on a component, shift-click for one more, or Esc."""
    before: tuple[str, ...] = st.session_state.get("ablations-select", ())
    if event["kind"] == "clear":
        st.session_state["ablations-select"] = ()
    elif event["kind"] == "click" and event["id"]:
        others = tuple(node for node in before if node != event["id"]) if event["add"] else ()
        st.session_state["ablations-select"] = (*others, event["id"])
