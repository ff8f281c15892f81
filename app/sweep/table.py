"""The table of a sweep: one row per method and ablation, and buttons that open a row's circuits."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig

from app.explore.view import PAGE as EXPLORE
from app.requests import job_of, start
from app.runs import Shelf
from app.sweep.lines import Line
from app.text import percent, plain
from engine.instruments.discover.request import Discover
from engine.instruments.sweep.parts import parts
from engine.instruments.sweep.request import Sweep

_FIRST_SHARE = 0.05  # of the edges: the size of the table at first
_MOST_ROWS = 20  # seen at once


def sizes_of(lines: Sequence[Line]) -> list[int]:
    """Return every number of edges at which a circuit was measured."""
    points = (point for line in lines for row in line.succeeded for point in row.points)
    return sorted({point.edges_requested for point in points})


def first_size(sizes: Sequence[int], total: int) -> int:
    """Return the default size of the table."""
    return _nearest(sizes, _FIRST_SHARE * total)


def choose_size(sizes: Sequence[int], total: int) -> int:
    """Draw the slider of the table's size and return the size."""
    wanted = st.session_state.get("compare-at") or first_size(sizes, total)
    st.session_state["compare-at"] = _nearest(sizes, wanted)
    if len(sizes) == 1:
        return sizes[0]
    return st.select_slider(
        "Size of the circuits in the table",
        sizes,
        key="compare-at",
        format_func=lambda size: f"{percent(size, total)} ({size:,} edges)",
        help="The edges with the highest scores; those on no path from the input to the logits are then "
        "pruned.",
        persist_state="session",
    )


def lines_table(lines: Sequence[Line], size: int) -> None:
    """Draw the table; a row is selected by a click on it or in the chart."""
    keys = [line.key for line in lines]
    chosen = st.session_state.get("compare-line")
    rows = [keys.index(chosen)] if chosen in keys else []
    state = st.session_state.get("compare-lines")
    if state is None or state["selection"]["rows"] != rows:
        st.session_state["compare-lines"] = {"selection": {"rows": rows}}
    st.dataframe(
        frame(lines, size),
        hide_index=True,
        height="content" if len(lines) <= _MOST_ROWS else 36 * (_MOST_ROWS + 1),
        placeholder="–",
        key="compare-lines",
        on_select=lambda: _selected(keys),
        selection_mode="single-row",
        alt=f"{len(lines)} methods under their ablations, at {size} edges; rows can be selected",
        column_config=_columns(),
    )
    st.caption(
        "Means over the seeds that did not fail, with the lowest and the highest KL. CPR and CMD: areas "
        "under faithfulness and under its distance from 1, over the share of edges kept (MIB). Seconds and "
        "memory: of one discovery."
    )


def frame(lines: Sequence[Line], size: int) -> pd.DataFrame:
    """Return one row per line, for circuits of `size` edges requested, without empty columns."""
    table = []
    for line in lines:
        kl, faithfulness = (
            next((spot for spot in line.spots(metric) if spot.key == line.spot_key(size)), None)
            for metric in ("kl", "faithfulness")
        )
        errors = [row.error for row in line.rows if row.error is not None]
        table.append(
            {
                "method": line.method_title,
                "ablation": line.ablation_title,
                "seeds": ", ".join(str(row.seed) for row in line.rows),
                "edges": None if kl is None else kl.edges,
                "kl": None if kl is None else kl.value,
                "low": None if kl is None else kl.low,
                "high": None if kl is None else kl.high,
                "faithfulness": None if faithfulness is None else faithfulness.value,
                **{name: line.mean(name) for name in ("cpr", "cmd", "seconds", "peak_mb")},
                "failed": f"{len(errors)} of {len(line.rows)}: {errors[0]}" if errors else None,
            }
        )
    return pd.DataFrame(table).dropna(axis="columns", how="all")


def _columns() -> dict[str, ColumnConfig]:
    column, number = st.column_config, st.column_config.NumberColumn
    return {
        "method": column.TextColumn(width=100),
        "ablation": column.TextColumn(
            width=130, help="What stood in for what was ablated, with its conditioning."
        ),
        "seeds": column.TextColumn(width=50),
        "edges": number(
            width=50, format="%.0f", help="Left after pruning those on no path, the mean over seeds."
        ),
        "kl": number("KL (nats)", width=70, format="%.3g"),
        "low": number(
            "from", width=62, format="%.3g", help="Lowest KL of a seed; of one seed alone, the 95 % interval."
        ),
        "high": number("to", width=62, format="%.3g"),
        "faithfulness": number(
            width=84, format="%.3f", help="1: all of the model's metric is kept; 0: no more than without."
        ),
        "cpr": number("CPR", width=52, format="%.3g", help="Higher is better."),
        "cmd": number("CMD", width=60, format="%.3g", help="Lower is better; 0 at best."),
        "seconds": number(width=62, format="%.1f", help="Of a discovery."),
        "peak_mb": number("peak MB", width=66, format="%.0f", help="Memory on top of the model's, at most."),
        "failed": column.TextColumn(),
    }


def _selected(keys: Sequence[str]) -> None:
    rows = st.session_state["compare-lines"]["selection"]["rows"]
    st.session_state["compare-line"] = keys[rows[0]] if rows and rows[0] < len(keys) else ""


def open_circuit(lines: Sequence[Line], size: int, shelf: Shelf, request: Sweep) -> None:
    """Draw the buttons that open the circuits of the selected line, on Explore or side by side.

    Args:
        request: the sweep's request, from which missing runs (as of a shipped sweep) can be made again.
    """
    line = next((line for line in lines if line.key == st.session_state.get("compare-line")), None)
    if line is None:
        st.caption(":material/check_box: Select a row, or click a point of the chart, to open its circuits.")
        return
    runs = {row.seed: row.run for row in line.succeeded}
    if not runs:
        st.caption(f"**{plain(line.name)}** failed with every seed: there is no circuit to open.")
        return
    run_ids = [run_id for run_id in runs.values() if run_id in shelf.runs]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{plain(line.name)}**, {size:,} edges", width="content")
        if st.session_state.get("compare-seed") not in runs:
            st.session_state["compare-seed"] = next(iter(runs))
        seed = st.selectbox(
            "Seed",
            list(runs),
            key="compare-seed",
            format_func=lambda seed: f"seed {seed}",
            label_visibility="collapsed",
            width=110,
            persist_state="session",
        )
        if seed is None:
            return
        if runs[seed] not in shelf.runs:
            _make(request, line, seed, runs[seed])
        elif st.button("Open circuit", icon=":material/hub:", type="primary", key="compare-open"):
            query = {"run": runs[seed], "edges": str(size)}
            st.switch_page(EXPLORE.script, query_params=query)
        st.button(
            "Seeds side by side",
            icon=":material/compare:",
            key="compare-seeds",
            disabled=len(run_ids) < 2,
            on_click=_side_by_side,
            args=(run_ids, size),
        )


def _make(request: Sweep, line: Line, seed: int, run_id: str) -> None:
    """Draw the button that makes a run of the sweep again, or the progress of its job."""
    if (job := job_of(run_id)) is not None and job.active:
        st.caption(f":material/hourglass: {plain(job.message) or 'Waiting for a worker'} …")
        return
    about = (line.method, line.ablation, line.rows[0].task, seed)
    discoveries = [part for part in parts(request) if isinstance(part, Discover)]
    again = [part for part in discoveries if (part.method, part.ablation, part.task, part.seed) == about]
    st.button(
        "Make this circuit",
        icon=":material/play_arrow:",
        type="primary",
        key="compare-make",
        on_click=start,
        args=(again,),
        help="The run is not here; it is made again as it was for this comparison.",
    )


def _side_by_side(runs: list[str], size: int) -> None:
    st.session_state["compare-runs"] = runs
    st.session_state["compare-edges"] = size
    st.session_state["compare-view"] = "circuits"


def _nearest(sizes: Sequence[int], wanted: float) -> int:
    return min(sizes, key=lambda size: abs(size - wanted))
