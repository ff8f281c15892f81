"""The form for a new run, made of the settings of the chosen method."""

from typing import Any

import streamlit as st
from pydantic import ValidationError

from app import state
from app.errors import show_error
from app.forms import fields_form, problems
from app.parts.request_form import choose_ablation, choose_model, choose_task, require_model, start_button
from app.requests import queue
from engine.ablations.base import ablations
from engine.discovery.base import methods
from engine.errors import CircuitExplorerError
from engine.instruments.words import title_of
from engine.runs.kinds import make_request
from engine.runs.request import Request

FIRST = "edge-pruning"  # the method of a form that nobody has touched
SHOWN = 2  # settings of a method shown at once, its first; the others are under "Advanced"


def new_run_form(shortcut: bool) -> None:
    """Draw the form; when it is sent, queue the request, and show its run once it is finished.

    Args:
        shortcut: Ctrl+Enter sends the form; False if a field of several lines on the page uses Ctrl+Enter.
    """
    st.subheader("New run", anchor=False)
    method = _method()
    kind = methods.get(method).Settings
    names = list(kind.model_fields)
    fields = _fields()
    settings = fields_form(kind, f"set-{method}", names[:SHOWN], columns=SHOWN)
    with st.expander("Advanced"):
        settings |= fields_form(kind, f"set-{method}", names[SHOWN:])
        fields |= _more_fields()
    if not start_button("Discover circuit", "discover", shortcut):
        return
    try:
        require_model(fields["model"])
        kind.model_validate(settings)
        _start(make_request("discover", **fields, method=method, settings=settings))
    except ValidationError as error:
        for line in problems(error, kind):
            show_error(line)
    except CircuitExplorerError as error:
        show_error(str(error))


def _method() -> str:
    """Draw the chooser of the method, if there are several, and return the method."""
    names = methods.names()
    if len(names) == 1:
        return names[0]
    if FIRST in names:
        st.session_state.setdefault("new-method", FIRST)
    return st.selectbox("Method", names, format_func=lambda name: title_of("method", name), key="new-method")


def _fields() -> dict[str, Any]:
    """Draw the fields that every request has and return their values."""
    model = choose_model("new-model")
    task = choose_task("new-task")
    ablation = choose_ablation("new-ablation")
    ablation_settings = fields_form(ablations.get(ablation).Settings, f"set-{ablation}")
    left, right = st.columns(2)
    percent = left.number_input(
        "Edges (%)",
        0.01,
        100.0,
        5.0,
        format="%g",
        key="new-percent",
        help="How many edges to keep; the slider shows the other sizes.",
    )
    seed = right.number_input(
        "Seed", 0, 2**31 - 1, 0, key="new-seed", help="The same seed gives the same run."
    )
    return {
        "model": model,
        "task": task,
        "ablation": ablation,
        "ablation_settings": ablation_settings,
        "sparsity": round(1 - percent / 100, 6),
        "seed": int(seed),
    }


def _more_fields() -> dict[str, Any]:
    """Draw the fields that are rarely changed and return their values."""
    prompts = st.number_input(
        "Prompts",
        1,
        100_000,
        200,
        key="new-prompts",
        help="How many to discover with, and how many to evaluate on, at most.",
    )
    merged = st.toggle(
        "One input per head",
        key="new-merged",
        help="Merge the query, key and value inputs of a head into one.",
    )
    return {"n_prompts": int(prompts), "qkv": "merged" if merged else "split"}


def _start(request: Request) -> None:
    job_id = queue().submit(request)
    state.jobs().follow = job_id
    if not queue().status(job_id).active:
        state.open_run(job_id)
    st.rerun()  # the jobs stand above the form and are drawn already
