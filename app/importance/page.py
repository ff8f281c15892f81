"""Ablations: how important is each component, and how much of that is the ablation's own artefact?"""

import streamlit as st

from app import state
from app.errors import show_error
from app.figures.style import Look
from app.importance.choice import FIRST_SHOWN, asked, choose_series, first_of, missing, selection
from app.importance.components import TOPS, bars_panel, component_panel, grid_panel
from app.importance.data import Measured, Subject, measured_of, subjects
from app.importance.form import measure_form
from app.importance.pairs import first_pair, pairs_panel
from app.importance.prompts import prompts_panel
from app.importance.ratios import optimal_series, ratios_panel
from app.importance.tables import everything_button, provenance
from app.importance.training import trained_series, training_panel
from app.parts.jobs import jobs_panel
from app.parts.options import choose_option
from app.parts.subjects import choose_subject
from app.presentation import page_look
from app.runs import shelf
from app.text import plain
from engine.errors import CircuitExplorerError

VIEWS = {
    "bars": "Side by side",
    "prompts": "On every prompt",
    "pairs": "Two ablations",
    "ratios": "Against optimal",
    "training": "Training",
}
PARAMETERS = (
    state.Parameter("subject"),
    state.Parameter("ablation"),
    state.Parameter("select", state.names_of, state.text_of, ()),
    state.Parameter("view", default="bars"),
    state.Parameter("top", int, default=TOPS[1]),
    *(state.Parameter(name) for name in ("x", "y", "optimal", "trained")),
)
CHOSEN = ("x", "y", "optimal", "trained")  # ablations that some of the views have choosers of
WHAT = (
    "Δ is the KL, in nats, from what the full model predicts to what it predicts when one component alone is "
    "ablated, that is, replaced by what the ablation puts in its place."
)
WHY = (
    "Two things make up Δ. **Deletion**: the model no longer hears what the component had to say. "
    "**Spoofing**: it hears something else instead, and believes it. A zero, or the activation on another "
    "prompt, may be a message that the rest of the model never met, and the harm of that is the ablation's "
    "own. Deletion alone is importance. Optimal ablation looks for the constant that does the least harm, so "
    "with the least spoofing; what another ablation costs on top of that is its artefact."
)


def page() -> None:
    """Draw the page: choosers on the left, the grid and one component, then the comparisons."""
    scheme = page_look()
    state.take_address("ablations", PARAMETERS, prefix="ablations-")
    subjects_here = subjects(shelf(), asked())
    with st.sidebar:
        subject = choose_subject(
            subjects_here,
            "ablations",
            "Nothing is measured of '{}' here.",
            "Model and task that something was measured of.",
        )
        jobs_panel()
        measure_form()
    if subject is None:
        st.title("Ablations", anchor=False)
        st.info(
            "No component is measured yet. Fill in the form on the left and press **Measure**.",
            icon=":material/grid_on:",
        )
        return
    st.title(plain(f"Ablations: {subject.label}"), anchor=False)
    if not subject.runs:
        missing(subject, None)
        return
    try:
        measured = measured_of(subject)
    except CircuitExplorerError as error:
        show_error(f"{error}. Choose another subject on the left.")
        return
    _show(subject, measured, scheme)
    _write_url(subject, measured, first=next(iter(subjects_here)))


def _show(subject: Subject, measured: Measured, scheme: Look) -> None:
    st.caption(WHAT)
    with st.expander("Deletion and spoofing: what Δ measures", icon=":material/help:"):
        st.markdown(WHY)
    missing(subject, measured)
    selected = selection(measured)
    picture, side = st.columns([1.25, 1], gap="medium")
    with picture:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            shown = choose_series(
                measured,
                "Ablation of the grid",
                "ablations-ablation",
                measured.series,
                first_of(measured, FIRST_SHOWN),
            )
            everything_button(subject, measured)
        grid_panel(measured, shown, selected, scheme)
        provenance([shown])
    with side:
        component_panel(measured, selected, shown, scheme)
    view = choose_option(
        "Comparison", "ablations-view", list(VIEWS), VIEWS.__getitem__, label_visibility="collapsed"
    )
    if view == "bars":
        bars_panel(measured, shown, selected, scheme)
    elif view == "prompts":
        prompts_panel(measured, selected, shown, scheme)
    elif view == "pairs":
        pairs_panel(measured, selected, scheme)
    elif view == "ratios":
        ratios_panel(subject, measured, selected, scheme)
    else:
        training_panel(measured, scheme)
    provenance((trained_series(measured) if view == "training" else []) or measured.series)


def _write_url(subject: Subject, measured: Measured, first: str) -> None:
    x, y = first_pair(measured) if len(measured.series) > 1 else ("", "")
    optimal, trained = optimal_series(measured), trained_series(measured)
    defaults = {
        "subject": first,
        "ablation": first_of(measured, FIRST_SHOWN),
        "x": x,
        "y": y,
        "optimal": optimal[0].key if optimal else "",
        "trained": trained[0].key if trained else "",
    }
    # A chooser that is not drawn in this view has not looked at what the address said.
    unknown = [name for name in CHOSEN if st.session_state.get(f"ablations-{name}") not in measured.by_key]
    values = {"subject": subject.key, "select": selection(measured)}
    state.put_address("ablations", PARAMETERS, "ablations-", defaults, values, hidden=unknown)


page()
