"""The panel of maps: corruptions side by side on one colour scale, and the difference of two of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app.components.plotly_view import plotly_view
from app.figures.estimates import numbers_of
from app.figures.style import Look
from app.importance.tables import number_columns
from app.parts.options import choose_option
from app.parts.table import as_table
from app.text import plain
from app.trace.choice import LIST, Shown, choose_class
from app.trace.data import (
    Pair,
    TraceRun,
    TraceSubject,
    corruption_names,
    corruption_title,
    effects_of,
    key_of,
    restored_of,
)
from app.trace.difference import LABEL, STAR, STARRED, differences, is_clear, pairing_note
from app.trace.figures.map import map_figure
from engine.tracing.names import CLASSES

ROW = 34  # px, of a layer
IN_ROW = 3  # maps


def rows_of(subject: TraceSubject, run: TraceRun) -> list[str]:
    """Return the names of the rows of effects: tokens (the subject's with a star), or classes of tokens."""
    if not subject.own:
        return list(CLASSES)
    traced = run.result.traced[0]
    first, end = traced.subject
    return [token + "*" * (first <= i < end) for i, token in enumerate(traced.tokens)]


@dataclass(frozen=True)
class Panel:
    """One map.

    Attributes:
        key: key of the view.
        label: title of the map.
        grid: effects, [n_layers, columns].
        difference: whether these are differences, which have a colour scale of their own.
        stars: bool [n_layers, columns], the cells marked with a star.
    """

    key: str
    label: str
    grid: np.ndarray
    difference: bool = False
    stars: np.ndarray | None = None


def maps_panel(subject: TraceSubject, shown: Shown, scheme: Look) -> None:
    """Draw the maps, and the numbers of all of them."""
    at, columns, across = _columns(subject, shown)
    grids = {name: _shaped(shown, effects_of(run, shown.metric), at) for name, run in shown.runs.items()}
    span = max((float(np.nanmax(grid, initial=0.0)) for grid in grids.values()), default=0.0) or 1.0
    panels = [Panel(key_of(name), corruption_title(name), grid) for name, grid in grids.items()]
    if shown.pair is not None:
        panels += _difference(subject, shown, shown.pair, at)
    selected = _selected(grids)
    for row in range(0, len(panels), IN_ROW):
        for place, panel in zip(st.columns(IN_ROW, gap="small"), panels[row : row + IN_ROW], strict=False):
            with place:
                _map(panel, shown, columns, across, span, selected, scheme, clears=panel is panels[0])
    _notes(subject, shown, panels)
    if selected is not None:
        restored = {
            name: _shaped(shown, restored_of(run, shown.metric), at)
            for name, run in (shown.runs if subject.own else {}).items()
        }
        _cell(shown, grids, restored, columns, selected)
    _table(panels, columns)


def _map(
    panel: Panel,
    shown: Shown,
    columns: list[str],
    across: str,
    span: float,
    selected: tuple[int, int] | None,
    scheme: Look,
    clears: bool,
) -> None:
    restored = "difference of what is restored" if panel.difference else f"{shown.words} restored"
    st.markdown(f"**{plain(panel.label)}**  \n{restored}")  # two lines in each, so that maps stand in line
    ends = float(np.nanmax(np.abs(panel.grid), initial=0.0)) or 1.0 if panel.difference else span
    plotly_view(
        map_figure(panel.grid, columns, ends, scheme, panel.difference, across, selected, panel.stars),
        f"trace-map-{panel.key}",
        f"{panel.label}: {restored} by layer and {across or 'token'}. The table below lists it.",
        height=min(130 + round(ROW * scheme.text * len(panel.grid)), 700),
        on_event=_on_cell,
        clearable=selected is not None and clears,
    )


def _columns(subject: TraceSubject, shown: Shown) -> tuple[int | None, list[str], str]:
    """Return the columns of a map.

    Returns:
        The row of effects whose heads are shown (None: all rows), the names of the columns, and their title.
    """
    rows = rows_of(subject, shown.first)
    if shown.state != "head":
        return None, rows, "" if subject.own else "class of token"
    heads = [str(head) for head in range(shown.first.result.n_heads)]
    if not subject.own:
        return rows.index(choose_class(shown)), heads, "head"
    names = {i: f"{i}: {row.strip()}" for i, row in enumerate(rows)}
    at = choose_option(
        "Restored at", "trace-row", list(names), names.__getitem__, first=len(rows) - 1, width=LIST
    )
    return at, heads, "head"


def _shaped(shown: Shown, effects: np.ndarray, at: int | None) -> np.ndarray:
    """Return effects [rows, C] in the form of the map, [n_layers, columns]."""
    return effects.T if at is None else effects[at].reshape(-1, shown.first.result.n_heads)


def _difference(subject: TraceSubject, shown: Shown, pair: Pair, at: int | None) -> list[Panel]:
    """Return the map of the difference of a pair; [] if the runs of a task share no prompts."""
    if subject.own:
        optimal, gaussian = (effects_of(run, shown.metric) for run in pair)
        return [Panel("difference", LABEL, _shaped(shown, optimal - gaussian, at), True)]
    rows = CLASSES if at is None else CLASSES[at : at + 1]
    of_rows = [differences(pair, name, shown.metric) for name in rows]
    if not all(of_rows):
        return []
    means = np.array([numbers_of(row)[0] for row in of_rows])
    stars = np.array([[is_clear(difference) for difference in row] for row in of_rows])
    grid, stars = (_shaped(shown, part, None if at is None else 0) for part in (means, stars))
    return [Panel("difference", LABEL, grid, True, stars)]


def _notes(subject: TraceSubject, shown: Shown, panels: list[Panel]) -> None:
    """Draw notes on missing corruptions, and on the meaning of stars."""
    present = {*shown.runs, *(run.request.ablation for run in shown.unlike)}
    if missing := [corruption_title(name) for name in corruption_names() if name not in present]:
        verb, them = ("is", "it") if len(missing) == 1 else ("are", "them")
        st.caption(
            plain(
                f"{' and '.join(missing)} {verb} not traced here yet: choose {them} in the form on the left."
            )
        )
    if shown.unlike:
        first = corruption_title(next(iter(shown.runs)))
        ids = ", ".join(f"run {run.run_id}" for run in shown.unlike)
        st.caption(plain(f"Left out for other tokens, layers or heads than under {first}: {ids}."))
    if not subject.own and shown.pair is not None:
        starred = any(panel.difference for panel in panels)
        st.caption(f"{STAR if starred else ''} {pairing_note(*shown.pair)}")


def cell_of(text: str) -> tuple[int, int]:
    """Parse the layer and column in the address or in a click; raise ValueError for other text."""
    layer, column = (int(part) for part in text.split(","))
    return layer, column


def _selected(grids: Mapping[str, np.ndarray]) -> tuple[int, int] | None:
    """Return layer and column of the selected cell, if these maps have it."""
    cell = st.session_state.get("trace-cell")
    shape = next(iter(grids.values())).shape
    return cell if cell is not None and all(0 <= i < n for i, n in zip(cell, shape, strict=True)) else None


def _on_cell(event: dict[str, Any]) -> None:
    if event["kind"] == "clear":
        st.session_state.pop("trace-cell", None)
    elif event["kind"] == "click" and event["id"]:
        st.session_state["trace-cell"] = cell_of(event["id"])


def _cell(
    shown: Shown,
    grids: Mapping[str, np.ndarray],
    restored: Mapping[str, np.ndarray],
    columns: list[str],
    at: tuple[int, int],
) -> None:
    """Draw the effect of the selected cell under each corruption and, for a prompt, the value restored."""
    layer, column = at
    state = f"head {layer}.{column}" if shown.state == "head" else f"layer {layer}, {columns[column].strip()}"
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{plain(state)}**", width="content")
        for name, grid in grids.items():
            effect = float(grid[at])
            text = "**no such token**" if np.isnan(effect) else f"**{effect:+.3g}**"
            if name in restored:
                value = float(restored[name][at])
                text += f" ({value:.3g} restored, {value - effect:.3g} not)"
            st.markdown(f"{plain(corruption_title(name))}: {text}", width="content")
        st.button(
            "Clear",
            key="trace-clear",
            on_click=lambda: _on_cell({"kind": "clear"}),
            help="Esc does the same",
            type="tertiary",
            icon=":material/close:",
        )


def _table(panels: list[Panel], columns: list[str]) -> None:
    """Draw the table of every map, with a last column for the stars of a difference."""
    rows = []
    for i, column in enumerate(columns):
        for layer in range(len(panels[0].grid)):
            row: dict[str, Any] = {"at": column.strip(), "layer": layer}
            for panel in panels:
                row[panel.label] = float(panel.grid[layer, i])
                if panel.stars is not None:
                    row[STARRED] = "*" * bool(panel.stars[layer, i])
            rows.append(row)
    as_table(
        pd.DataFrame(rows),
        "trace-effects",
        "The effect of restoring every state",
        number_columns(*(panel.label for panel in panels)),
    )
