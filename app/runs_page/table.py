"""The history: filters over all runs, and the table in which they are selected."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.elements.lib.column_types import ColumnConfig

from app.presentation import presenting
from app.runs import Shelf, kind_name, own_title
from app.runs_page.facets import FACETS, titles
from engine.instruments.base import in_order
from engine.instruments.words import model_name, title_of
from engine.runs.folder import AnyRun

ORIGINS = {"all": "All", "shipped": "Shipped", "own": "Own"}
_ROW, _ROW_PRESENTED = 36, 46  # px
_MOST_ROWS = 10  # seen at once


def history(shelf: Shelf, bar: Callable[[list[AnyRun]], None]) -> list[AnyRun]:
    """Draw the filters and the table of all runs; return the runs selected, in the table's order.

    Args:
        shelf: the runs.
        bar: draws the actions on the selected runs, over the table.
    """
    runs = shelf.everything()
    words, chosen = _filters(runs, first_kinds(shelf))
    shown = [run for run in runs if _passes(run, words, chosen)]
    # Newest first; those of the same second stay in the order of the shelf.
    shown.sort(key=lambda run: datetime.fromisoformat(run.result.created), reverse=True)
    if not shown:
        st.info("No run passes these filters.", icon=":material/filter_alt_off:")
        st.button("Clear the filters", on_click=clear_filters, icon=":material/close:", key="runs-no-filter")
        return []
    place = {run.run_id: i for i, run in enumerate(shown)}
    rows = sorted(place[run_id] for run_id in st.session_state.get("runs-selected", []) if run_id in place)
    selected = [shown[i] for i in rows]
    st.session_state["runs-selected"] = [run.run_id for run in selected]
    bar(selected)
    _table(shown, shelf, rows)
    return selected


def clear_filters() -> None:
    """Reset the filters to their defaults."""
    for name in ("text", "kind", "origin", *FACETS):
        st.session_state.pop(f"runs-{name}", None)


def select_run(run: AnyRun) -> None:
    """Select a single run, and change the filters so that it is listed."""
    clear_filters()
    st.session_state["runs-kind"] = list(dict.fromkeys([*with_graphs(), run.request.kind]))
    st.session_state["runs-selected"] = [run.run_id]


def first_kinds(shelf: Shelf) -> list[str]:
    """Return the kinds of runs shown by default."""
    present = {run.request.kind for run in shelf.runs.values()}
    return [kind for kind in with_graphs() if kind in present]


def with_graphs() -> list[str]:
    """Return the kinds of runs that have a graph of their own."""
    return [instrument.kind for instrument in in_order() if instrument.has_circuit]


def _filters(runs: list[AnyRun], first: list[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Draw the filters; return the words searched for, and the values chosen for every facet."""
    left, right = st.columns([1, 2], gap="medium")
    text = left.text_input(
        "Search",
        key="runs-text",
        placeholder="Title, task, run id …",
        icon=":material/search:",
        persist_state="session",
    )
    counts = Counter(run.request.kind for run in runs)
    kinds = [instrument.kind for instrument in in_order() if counts[instrument.kind]]
    _known("kind", kinds, first)
    chosen: dict[str, list[str]] = {}
    chosen["kind"] = right.pills(
        "Kind",
        kinds,
        selection_mode="multi",
        format_func=lambda kind: f"{kind_name(kind)} {counts[kind]}",
        key="runs-kind",
        wrap=True,
        persist_state="session",
    )
    several = {
        name: values
        for name in FACETS
        if len(values := sorted({value for run in runs for value in run.request.facets()[name]})) > 1
    }
    places = st.columns([1] * len(several) + [1.05], gap="small")
    for place, (name, values) in zip(places, several.items(), strict=False):
        title, words = FACETS[name]
        _known(name, values, [])
        chosen[name] = place.multiselect(
            title,
            values,
            format_func=words,
            key=f"runs-{name}",
            placeholder="All",
            persist_state="session",
        )
    if (origin := _origin(places[-1])) != "all":
        chosen["origin"] = [origin]
    return (text or "").lower().split(), {name: values for name, values in chosen.items() if values}


def _origin(place: DeltaGenerator) -> str:
    if st.session_state.get("runs-origin") not in ORIGINS:
        st.session_state["runs-origin"] = "all"
    chosen = place.segmented_control(
        "Origin",
        list(ORIGINS),
        format_func=ORIGINS.__getitem__,
        key="runs-origin",
        required=True,
        persist_state="session",
    )
    return chosen or "all"


def _known(name: str, options: Sequence[str], default: Sequence[str]) -> None:
    """Drop values from the URL that do not exist, before the widget is drawn."""
    wanted = st.session_state.get(f"runs-{name}")
    st.session_state[f"runs-{name}"] = [
        option for option in (default if wanted is None else wanted) if option in options
    ]


def _passes(run: AnyRun, words: list[str], chosen: dict[str, list[str]]) -> bool:
    request = run.request
    for name, values in chosen.items():
        if name == "kind":
            facet: list[str] = [request.kind]
        elif name == "origin":
            facet = ["shipped" if run.shipped else "own"]
        else:
            facet = run.request.facets()[name]
        if not set(facet) & set(values):
            return False
    facets = request.facets()
    about = [own_title(run) or "", run.run_id, request.model, *facets["task"]]
    about += [title_of(kind, name) for kind in ("task", "ablation") for name in facets[kind]]
    return all(word in " ".join(about).lower() for word in words)


def _table(runs: list[AnyRun], shelf: Shelf, rows: list[int]) -> None:
    """Draw the table, with `rows` selected."""
    state = st.session_state.get("runs-table")
    if state is None or sorted(state["selection"]["rows"]) != rows:  # the rows were others, or a URL says so
        st.session_state["runs-table"] = {"selection": {"rows": rows}}
    row_height = _ROW_PRESENTED if presenting() else _ROW
    st.dataframe(
        _frame(runs, shelf),
        hide_index=True,
        height=row_height * (min(len(runs), _MOST_ROWS) + 1) + 2,
        row_height=row_height,
        placeholder="",
        key="runs-table",
        on_select=lambda: _selected([run.run_id for run in runs]),
        selection_mode="multi-row",
        alt=f"{len(runs)} runs with what they measured; rows can be selected",
        column_config=_columns(row_height / _ROW),
    )


def _selected(order: list[str]) -> None:
    rows = st.session_state["runs-table"]["selection"]["rows"]
    st.session_state["runs-selected"] = [order[i] for i in sorted(rows) if i < len(order)]


def _frame(runs: list[AnyRun], shelf: Shelf) -> pd.DataFrame:
    """Return the table, without columns in which all runs agree."""
    table = pd.DataFrame([_row(run, shelf) for run in runs])
    same = [name for name in ("kind", "model", "origin", "of") if len(set(table[name])) == 1]
    if len(set(table["method"]) - {""}) <= 1:  # only discoveries and sweeps have one
        same.append("method")
    return table.drop(columns=same).dropna(axis="columns", how="all")


def _row(run: AnyRun, shelf: Shelf) -> dict[str, object]:
    request, result = run.request, run.result
    circuit, origin = result.circuit(), request.origin
    return {
        "name": own_title(run) or titles(run, "task"),
        "kind": kind_name(request.kind),
        "ablation": titles(run, "ablation"),
        "of": "" if origin is None else _evaluated(origin, shelf),
        "model": model_name(request.model),
        "method": titles(run, "method"),
        "edges": None if circuit is None else circuit.n_edges,
        "kl": None if circuit is None else circuit.kl.mean,
        "faithfulness": None if circuit is None else circuit.faithfulness.mean,
        "created": pd.Timestamp(result.created).tz_convert("UTC"),
        "seconds": result.timings.seconds,
        "origin": "shipped" if run.shipped else "own",
        "run": run.run_id,
    }


def _evaluated(run_id: str, shelf: Shelf) -> str:
    """Return a short label of the run that was evaluated or repeated."""
    if run_id not in shelf.runs:
        return f"{run_id} (gone)"
    run = shelf.runs[run_id]
    return own_title(run) or f"{run.request.ablation} · {run_id.rsplit('-', 1)[-1]}"


def _columns(scale: float) -> dict[str, ColumnConfig]:
    """Return the configuration of the columns; `scale` is the factor of text sizes."""
    column = st.column_config
    return {
        "name": column.TextColumn("title or task", width=round(218 * scale)),
        "kind": column.TextColumn(width=round(95 * scale)),
        "ablation": column.TextColumn(width=round(136 * scale), help="What stood in for what was ablated."),
        "of": column.TextColumn(
            "of the run", width=round(170 * scale), help="The run that was evaluated or repeated."
        ),
        "model": column.TextColumn(width=round(88 * scale)),
        "method": column.TextColumn(width=round(110 * scale)),
        "edges": column.NumberColumn(
            width=round(56 * scale), format="localized", help="Edges of the circuit asked for."
        ),
        "kl": column.NumberColumn("KL (nats)", width=round(68 * scale), format="%.3g"),
        "faithfulness": column.NumberColumn(
            "faithfulness",
            width=round(90 * scale),
            format="%.3g",
            help="1: all of the model's metric is kept; 0: no more than with everything ablated.",
        ),
        "created": column.DatetimeColumn(
            "created (UTC)", width=round(118 * scale), format="YYYY-MM-DD HH:mm"
        ),
        "seconds": column.NumberColumn(
            "seconds", width=round(62 * scale), format="%.0f", help="How long it took."
        ),
        "origin": column.TextColumn(width=round(64 * scale)),
        "run": column.TextColumn("run id"),
    }
