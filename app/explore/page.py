"""Explore: which edges carry this behaviour?"""

from typing import Any

import streamlit as st

from app import state
from app.components.plotly_view import plotly_view
from app.errors import show_error
from app.explore.curve import slider_and_curve
from app.explore.detail import WAYS, detail_panel
from app.explore.evaluation import evaluation_choice
from app.explore.metrics import metrics_row
from app.explore.new_run import new_run_form
from app.explore.own_prompts import FIELDS as OWN_FIELDS
from app.explore.own_prompts import own_prompts
from app.explore.prompts import prompts_table
from app.figures.graph import MOST_EDGES, circuit_figure
from app.figures.style import Look
from app.parts.exports import export_buttons
from app.parts.jobs import jobs_panel
from app.parts.notes import show_notes
from app.presentation import page_look
from app.runs import Opened, open_run, own_title, provenance, run_title, shelf, store
from app.stability.panel import stability_panel
from app.text import plain
from engine.circuits.circuit import Circuit
from engine.errors import CircuitExplorerError
from engine.runs.notes import read_notes

EXAMPLES, OWN = "Examples", "Your own pair"
PARAMETERS = (
    state.Parameter("run"),
    state.Parameter("edges", int),
    state.Parameter("under"),
    state.Parameter("metric", default="kl"),
    state.Parameter("prompt", lambda text: max(int(text) - 1, 0), lambda prompt: str(prompt + 1), 0),
    state.Parameter("select", state.names_of, state.text_of, ()),
    state.Parameter("trace", default="neighbours"),
    state.Parameter("detail", default="Edges"),
    state.Parameter("prompts", default=EXAMPLES),
    state.Parameter("stability", default=""),
    state.Parameter("stability-metric", default="kl"),
    *(state.Parameter(name) for name in OWN_FIELDS),
)


def page() -> None:
    """Draw the page: form on the left, picture in the middle, detail on the right."""
    scheme = page_look()
    state.take_next_run(forget=state.take_address("explore", PARAMETERS))
    with st.sidebar:
        run_id = _choose_run()
        jobs_panel()
        new_run_form(shortcut=not _writing())
    if run_id is None:
        st.title("Explore", anchor=False)
        st.info(
            "There is no finished run yet. Fill in the form on the left and press **Discover circuit**.",
            icon=":material/hub:",
        )
        return
    try:
        opened = open_run(run_id)
    except CircuitExplorerError as error:
        show_error(f"{error}. Choose another run on the left.")
        return
    _show(opened, scheme)


def _show(opened: Opened, scheme: Look) -> None:
    selected = _selected(opened)
    size = st.session_state["edges"] = _size(opened)
    prompts = len(opened.run.result.prompts)
    prompt = st.session_state.get("prompt", 0)
    st.session_state["prompt"] = prompt = prompt if prompt < prompts else 0
    if st.session_state.get("prompts") not in (EXAMPLES, OWN):
        st.session_state["prompts"] = EXAMPLES
    if st.session_state.get("trace") not in WAYS:
        st.session_state["trace"] = "neighbours"

    head, choice = st.columns([2.05, 1], vertical_alignment="bottom", gap="medium")
    with choice:
        shown, state_of_it = evaluation_choice(opened)
    head.title(plain(own_title(opened.run) or run_title(opened.request)), anchor=False)
    head.caption(state_of_it)
    circuit = opened.circuit(size)
    metrics_row(circuit, shown.result.point_at(size), shown.result)
    picture, side = st.columns([2.05, 1], gap="medium")
    with picture:
        _graph(opened, circuit, selected, scheme)
        st.caption(plain(provenance(opened, shown)))
        show_notes([shown])
        export_buttons(opened, circuit)
        st.subheader("Prompts", anchor=False)
        chosen = st.segmented_control(
            "Prompts",
            [EXAMPLES, OWN],
            key="prompts",
            required=True,
            label_visibility="collapsed",
            persist_state="session",
        )
        if chosen == OWN:
            own_prompts(opened, circuit, size, shown.request.ablation, scheme)
        else:
            prompts_table(shown.result, size)
    with side:
        slider_and_curve(opened, shown, size, scheme)
        detail_panel(opened, circuit, selected, size, shown, scheme)
    stability_panel(opened, scheme)
    state.put_address(
        "explore",
        PARAMETERS,
        defaults={"edges": opened.size, "under": opened.request.ablation},
        values={"run": opened.run.run_id},
        hidden=() if st.session_state["prompts"] == OWN else OWN_FIELDS,
    )


def _selected(opened: Opened) -> tuple[str, ...]:
    """Return the selected names that are in this graph: nodes, or a single edge."""
    names = state.selection()
    nodes = tuple(name for name in names if name in opened.graph.nodes)
    return nodes or tuple(name for name in names if name in opened.graph.edge_index)[:1]


def _choose_run() -> str | None:
    current_shelf = shelf()
    for broken in current_shelf.broken:
        st.warning(plain(broken.problem), icon=":material/folder_off:")
    if not current_shelf.runs:
        return None
    if st.session_state.get("run") not in current_shelf.runs:
        if "run" in st.session_state:
            gone = plain(st.session_state["run"])
            st.warning(f"There is no run '{gone}' here. This is another one.")
        st.session_state["run"] = next(iter(current_shelf.runs))
    return st.selectbox(
        "Show run",
        list(current_shelf.runs),
        key="run",
        format_func=current_shelf.label,
        persist_state="session",
    )


def _graph(opened: Opened, circuit: Circuit, selected: tuple[str, ...], scheme: Look) -> None:
    pins = read_notes(store(), opened.run).pins
    figure = circuit_figure(circuit, scheme, selected, opened.signed, st.session_state["trace"], pins)
    shown = min(circuit.n_edges, MOST_EDGES)
    layers = opened.graph.n_layers
    plotly_view(
        figure,
        "graph",
        f"Circuit graph with {shown} edges. The tables beside it list them.",
        height=max(520, 47 * (layers + 4)),
        ratio=0.62,
        on_event=_on_graph,
        zoom=True,
        box=True,
        clearable=bool(selected),
    )
    if circuit.n_edges == 0:
        st.info("No path from the input to the logits is left at this size. Keep more edges.")
    elif shown < circuit.n_edges:
        st.caption(f"{shown:,} of {circuit.n_edges:,} edges shown: the strongest ones.")
    else:
        st.caption(f"{shown:,} of {circuit.n_edges:,} edges shown. The wider, the higher its score ranks.")


def _on_graph(event: dict[str, Any]) -> None:
    """Change the selection by a click, a box or Esc in the graph; shift-click adds a node."""
    before = state.selection()
    if event["kind"] == "clear":
        state.selected(())
    elif event["kind"] == "box":
        state.selected(tuple(event["ids"]))
    elif event["add"] and "->" not in event["id"] and not any("->" in name for name in before):
        state.selected((*(name for name in before if name != event["id"]), event["id"]))
    else:
        state.selected((event["id"],))


def _size(opened: Opened) -> int:
    """Return the size to show, in edges requested: the slider's value, else the run's own size."""
    place, wanted = state.explore(), st.session_state.get("edges")
    own, place.own_size = place.own_size, opened.size
    if wanted is None or wanted == own:
        return opened.size
    return min(opened.sizes, key=lambda size: abs(size - wanted))


def _writing() -> bool:
    """Return whether the page has a field of several lines."""
    return st.session_state.get("prompts") == OWN or st.session_state.get("detail") == "Note"


page()
