"""The form that lets lenses read a text, as it is or with nodes ablated or in a circuit."""

from typing import Any

import streamlit as st
from pydantic import ValidationError

from app.data import shelf, store
from app.errors import show_error
from app.jobs import queue
from app.panels.lens_data import reading_key
from app.panels.subject import choose_model, require_model, start_button
from engine.errors import CircuitExplorerError, RequestError
from engine.lenses.requests import default_training
from engine.request import Request
from engine.run_folder import first_problem

EXAMPLE = "The capital of South Korea is"
NOTHING = "nothing changed"


def lens_form() -> None:
    """Draw the form; when it is sent, a job goes into the queue and the page shows its text."""
    st.subheader("New text", anchor=False)
    model = choose_model("lens-new-model")
    st.session_state.setdefault("lens-new-text", EXAMPLE)
    text = st.text_area(
        "Text", key="lens-new-text", height=100, max_chars=4000, help="Each token is read at every layer."
    ).rstrip()
    words = st.text_input(
        "Words to follow",
        key="lens-new-words",
        max_chars=400,
        placeholder="Seoul, Tokyo",
        help="Up to 8, one token each, parted by commas: their probability through the layers.",
    )
    circuit = _circuit(model)
    ablated, ablation = "", "mean"
    if circuit is None:
        left, right = st.columns([4, 3])
        ablated = left.text_input(
            "Ablate",
            key="lens-new-ablated",
            max_chars=2000,
            placeholder="a2.h3, m1",
            help="Heads and MLPs that write a constant while the text runs.",
        )
        ablation = right.selectbox("By", ["mean", "zero"], key="lens-new-ablation")
    middle = st.toggle(
        "Middle of layers",
        key="lens-new-middle",
        help="Also between a layer's attention and its MLP, where a block has these one after the other.",
    )
    _first_training(model)
    if not start_button("Read", "lens-start"):
        return
    reading = {
        "text": text,
        "words": [f" {word.strip()}" for word in words.split(",") if word.strip()],
        "ablated": [node.strip() for node in ablated.split(",") if node.strip()],
        "ablation": ablation,
        "circuit": circuit,
        "middle": middle,
    }
    try:
        _submit(model, reading)
    except CircuitExplorerError as error:
        show_error(str(error))


def _circuit(model: str) -> dict[str, Any] | None:
    """Draw the chooser of a circuit of the model; None for the whole model."""
    there = shelf()
    runs = [run_id for run_id, run in there.runs.items() if run.request.model == model]
    if st.session_state.get("lens-new-circuit") not in (None, NOTHING, *runs):
        st.session_state["lens-new-circuit"] = NOTHING
    chosen = st.selectbox(
        "In the circuit of",
        [NOTHING, *runs],
        key="lens-new-circuit",
        format_func=lambda run_id: "the whole model" if run_id == NOTHING else there.label(run_id),
        help="The text runs through a circuit of this run, at the size it was asked for.",
    )
    if chosen == NOTHING or chosen not in there.runs:
        return None
    run = there.runs[chosen]
    return {"run": chosen, "edges": run.result["summary"].get("edges_requested") or run.request.edges}


@st.cache_data(max_entries=8, show_spinner=False, ttl=20)
def _is_trained(model: str) -> bool:
    try:
        asked = Request.model_validate(
            {"kind": "lens", "model": model, "task": "text", "ablation": "none", "lens": {"text": "a"}}
        )
        return default_training(asked, store()).run_id() in store()
    except CircuitExplorerError:  # no such model: the form says so when it is sent
        return True


def _first_training(model: str) -> None:
    if model and not _is_trained(model):
        st.caption("The lenses of this model are trained first, once: that takes some minutes.")


def _submit(model: str, reading: dict[str, Any]) -> None:
    """Put the job into the queue.

    Raises:
        CircuitExplorerError: it is refused.
    """
    require_model(model)
    try:
        request = Request.model_validate(
            {"kind": "lens", "model": model, "task": "text", "ablation": "none", "lens": reading}
        )
    except ValidationError as error:
        raise RequestError(first_problem(error)) from error
    job_id = queue().submit(request)
    # The queue knows the request with everything filled in, which is what a reading goes by.
    st.session_state["lens-next"] = reading_key(queue().status(job_id).request)
    st.rerun()
