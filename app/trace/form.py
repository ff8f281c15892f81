"""The form that traces a prompt of the user's, or the prompts of a task, under both corruptions."""

from typing import Any

import streamlit as st
from pydantic import ValidationError

from app.errors import show_error
from app.figures.style import Look
from app.forms import fields_form, problems
from app.parts.request_form import choose_model, require_model, start_button
from app.requests import queue
from app.runs import store
from app.trace.data import PAIR, STATE_NAMES, corruption_names, corruption_title, subject_key
from app.trace.prompt import prompt_fields
from engine.errors import CircuitExplorerError, RequestError
from engine.instruments.trace.instrument import TraceInstrument
from engine.runs.kinds import make_request
from engine.tracing.base import corruptions

ABOUT = {"prompt": "A prompt", "task": "All facts"}
HOLDOUTS = {"random": "At random", "relations": "Whole relations"}


def trace_form(scheme: Look) -> None:
    """Draw the form; when it is sent, queue jobs and show their subject."""
    st.subheader("New trace", anchor=False)
    model = choose_model("trace-new-model")
    about = st.segmented_control(
        "Of",
        list(ABOUT),
        key="trace-new-about",
        default="prompt",
        format_func=ABOUT.__getitem__,
        required=True,
    )
    fields, ready = prompt_fields(model, scheme) if about == "prompt" else _task()
    states = st.multiselect(
        "Restore",
        list(STATE_NAMES),
        default=list(STATE_NAMES)[:3],
        key="trace-new-states",
        format_func=STATE_NAMES.__getitem__,
        help="What is put back as it was in the clean prompt, at one token and layer at a time.",
    )
    left, right = st.columns(2)
    window = left.number_input(
        "Window", 1, 1000, 1, key="trace-new-window", help="Layers restored at once; ROME takes 10 of 48."
    )
    seed = right.number_input("Seed", 0, 2**31 - 1, 0, key="trace-new-seed", help="Of noise and training.")
    chosen = st.multiselect(
        "Corrupt by",
        corruption_names(),
        default=PAIR,
        key="trace-new-corruptions",
        format_func=corruption_title,
        help="What becomes of the subject: noise on it, or the constants that harm the answer least.",
    )
    settings = {}
    for name in chosen:
        with st.expander(f"{corruption_title(name)}: settings"):
            settings[name] = fields_form(corruptions.get(name).Settings, f"trace-set-{name}", columns=2)
    if not start_button("Trace", "trace-start", disabled=not ready):
        return
    plain = {"model": model, "task": "facts", "seed": int(seed)}
    try:
        _submit(plain, fields, states, int(window), settings)
    except CircuitExplorerError as error:
        show_error(str(error))


def _task() -> tuple[dict[str, Any], bool]:
    """Draw the fields of a task; return their values, and whether they can be used."""
    left, right = st.columns(2)
    n = left.number_input(
        "Prompts", 1, 100_000, 200, key="trace-new-prompts", help="Test prompts to trace, at most."
    )
    holdout = right.selectbox(
        "Held out",
        list(HOLDOUTS),
        key="trace-new-holdout",
        format_func=HOLDOUTS.__getitem__,
        help="What the prompts traced keep from those that constants are trained on: ways of asking the same "
        "facts, at random, or whole relations, none of which is in both.",
    )
    return {"n_prompts": int(n), "holdout": holdout}, True


def _submit(
    plain: dict[str, Any], fields: dict[str, Any], states: list[str], window: int, settings: dict[str, Any]
) -> None:
    """Put a job for every state and corruption into the queue.

    Raises:
        CircuitExplorerError: a request is refused.
    """
    if not states or not settings:
        raise RequestError("Choose at least one state to restore and one corruption")
    require_model(plain["model"])
    if "n_prompts" in fields:
        plain = plain | {"n_prompts": fields.pop("n_prompts")}
    requests = []
    for state in states:
        plan = {"state": state, "window": 1 if state == "head" else window} | fields
        for name, values in settings.items():
            kind = corruptions.get(name).Settings
            try:
                kind.model_validate(values)
            except ValidationError as error:
                raise RequestError("; ".join(problems(error, kind))) from error
            corruption = {"ablation": name, "ablation_settings": values}
            requests.append(make_request("trace", **plain, **corruption, trace=plan))
    # All are completed before any is queued: one that is refused would leave the others.
    requests = [TraceInstrument().complete(request, store()) for request in requests]
    for request in requests:
        queue().submit(request)
    st.session_state["trace-next"] = subject_key(requests[0])
    st.rerun()
