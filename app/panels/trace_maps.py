"""Both corruptions side by side on one colour scale, and their difference."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app.components.plotly_view import plotly_view
from app.figures.style import Look
from app.figures.trace_map import map_figure
from app.panels.ablations_tables import as_table, number_columns
from app.panels.trace_choice import Shown
from app.panels.trace_data import CORRUPTION_NAMES, METRIC_NAMES, TraceSubject, effects_of
from app.text import plain
from engine.runs import Run
from engine.tracing.prompts import CLASSES

ROW = 34  # px, of a layer


def rows_of(subject: TraceSubject, run: Run) -> list[str]:
    """Return what effects were measured of: the tokens, the subject's with a star, or the classes."""
    if not subject.own:
        return list(CLASSES)
    traced = run.result["traced"][0]
    first, end = traced["subject"]
    return [token + "*" * (first <= i < end) for i, token in enumerate(traced["tokens"])]


def maps_panel(subject: TraceSubject, shown: Shown, scheme: Look) -> None:
    """Draw the maps, and the numbers of all of them."""
    grids, columns, across = _grids(subject, shown)
    span = max((float(np.nanmax(grid, initial=0.0)) for grid in grids.values()), default=0.0) or 1.0
    what = f"{METRIC_NAMES[shown.metric].lower()} restored"
    panels: list[tuple[str, str, np.ndarray, bool]] = [
        (name, CORRUPTION_NAMES[name], grid, False) for name, grid in grids.items()
    ]
    if len(grids) == len(CORRUPTION_NAMES):
        difference = grids["optimal"] - grids["gaussian"]
        panels.append(("difference", "Optimal less Gaussian", difference, True))
    selected = _selected(grids)
    for place, (name, label, grid, is_difference) in zip(st.columns(3, gap="small"), panels, strict=False):
        with place:
            st.markdown(f"**{label}**, {'difference' if is_difference else what}")
            ends = float(np.nanmax(np.abs(grid), initial=0.0)) or 1.0 if is_difference else span
            figure = map_figure(grid, columns, ends, scheme, is_difference, across, selected)
            plotly_view(
                figure,
                f"trace-map-{name}",
                f"{label}: {what} by layer and {across or 'token'}. The table below lists it.",
                height=min(130 + round(ROW * scheme.text * len(grid)), 700),
                on_event=_on_cell,
                clearable=selected is not None and name == "optimal",
            )
    if len(panels) == 1:
        missing = next(name for name in CORRUPTION_NAMES if name not in grids)
        st.caption(f"{CORRUPTION_NAMES[missing]} is not traced here yet: choose it in the form on the left.")
    if selected is not None:
        _cell(subject, shown, grids, columns, selected)
    _table(grids, columns)


def _grids(subject: TraceSubject, shown: Shown) -> tuple[dict[str, np.ndarray], list[str], str]:
    """Return effects [n_layers, columns] of each corruption, the columns' names, and what they are."""
    first = next(iter(shown.runs.values()))
    rows = rows_of(subject, first)
    effects = {name: effects_of(run, shown.metric) for name, run in shown.runs.items()}
    if shown.state != "head":
        return {name: grid.T for name, grid in effects.items()}, rows, "" if subject.own else "class of token"
    at = _choose_row(rows)
    n_heads = _n_heads(first)
    grids = {name: grid[at].reshape(-1, n_heads) for name, grid in effects.items()}
    return grids, [str(head) for head in range(n_heads)], "head"


def _n_heads(run: Run) -> int:
    return int(run.result["n_heads"])


def _choose_row(rows: list[str]) -> int:
    if st.session_state.get("trace-row") not in range(len(rows)):
        st.session_state["trace-row"] = len(rows) - 1
    return st.selectbox(
        "Restored at",
        range(len(rows)),
        key="trace-row",
        format_func=lambda i: f"{i}: {rows[i].strip()}",
        width=240,
        persist_state="session",
    )


def cell_of(text: str) -> tuple[int, int]:
    """Read layer and column out of the address, or of what was clicked; ValueError for anything else."""
    layer, column = (int(part) for part in text.split(","))
    return layer, column


def _selected(grids: Mapping[str, np.ndarray]) -> tuple[int, int] | None:
    """Return layer and column of the cell that was clicked, if these maps have it."""
    cell = st.session_state.get("trace-cell")
    shape = next(iter(grids.values())).shape
    return cell if cell is not None and all(0 <= i < n for i, n in zip(cell, shape, strict=True)) else None


def _on_cell(event: dict[str, Any]) -> None:
    if event["kind"] == "clear":
        st.session_state.pop("trace-cell", None)
    elif event["kind"] == "click" and event["id"]:
        st.session_state["trace-cell"] = cell_of(event["id"])


def _cell(
    subject: TraceSubject,
    shown: Shown,
    grids: Mapping[str, np.ndarray],
    columns: list[str],
    at: tuple[int, int],
) -> None:
    """Say what the selected cell is worth under each corruption."""
    layer, column = at
    what = f"head {layer}.{column}" if shown.state == "head" else f"layer {layer}, {columns[column].strip()}"
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{plain(what)}**", width="content")
        for name, grid in grids.items():
            ends = {end: shown.runs[name].result[end][shown.metric]["mean"] for end in ("clean", "corrupted")}
            effect = float(grid[at])
            text = "no such token" if np.isnan(effect) else f"{effect:+.3g}"
            st.markdown(
                f"{CORRUPTION_NAMES[name]}: **{text}** ({ends['corrupted']:.3g} corrupted, "
                f"{ends['clean']:.3g} clean)",
                width="content",
            )
        st.button(
            "Clear",
            key="trace-clear",
            on_click=lambda: _on_cell({"kind": "clear"}),
            help="Esc does the same",
            type="tertiary",
            icon=":material/close:",
        )


def _table(grids: Mapping[str, np.ndarray], columns: list[str]) -> None:
    rows = [
        {"at": column.strip(), "layer": layer}
        | {CORRUPTION_NAMES[name]: float(grid[layer, i]) for name, grid in grids.items()}
        for i, column in enumerate(columns)
        for layer in range(len(next(iter(grids.values()))))
    ]
    names = [CORRUPTION_NAMES[name] for name in grids]
    as_table(
        pd.DataFrame(rows), "trace-effects", "The effect of restoring every state", number_columns(*names)
    )
