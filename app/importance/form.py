"""The form that measures what components of any model cost on any task."""

from typing import Any

import streamlit as st
from pydantic import ValidationError

from app.errors import show_error
from app.forms import fields_form, problems
from app.importance.data import subject_key
from app.parts.request_form import choose_model, choose_task, require_model, start_button
from app.requests import queue
from engine.ablations.base import NoSettings, ablations
from engine.errors import CircuitExplorerError
from engine.instruments.importance.request import Importance
from engine.instruments.words import title_of
from engine.runs.kinds import make_request

EVERY = "every"  # ablation, each with its default settings


def measure_form() -> None:
    """Draw the form; when it is sent, jobs go into the queue and the page shows their subject."""
    st.subheader("New measurement", anchor=False)
    model, task = choose_model("ablations-new-model"), choose_task("ablations-new-task")
    ablation = st.selectbox(
        "Ablation",
        [EVERY, *ablations.names()],
        format_func=lambda name: "every one" if name == EVERY else title_of("ablation", name),
        key="ablations-new-ablation",
        help="What stands in for what a component writes. A single one can be given settings, such as "
        "constants shared by all positions.",
    )
    kind = NoSettings if ablation == EVERY else ablations.get(ablation).Settings
    settings = fields_form(kind, f"ablations-set-{ablation}")
    left, right = st.columns(2)
    prompts = left.number_input(
        "Prompts", 1, 100_000, 200, key="ablations-new-prompts", help="How many to measure on, at most."
    )
    seed = right.number_input(
        "Seed", 0, 2**31 - 1, 0, key="ablations-new-seed", help="The same seed gives the same prompts."
    )
    if not start_button("Measure", "ablations-measure"):
        return
    about = {"model": model, "task": task, "n_prompts": int(prompts), "seed": int(seed)}
    try:
        require_model(model)
        kind.model_validate(settings)
        names = ablations.names() if ablation == EVERY else [ablation]
        _submit([about | {"ablation": name, "ablation_settings": settings} for name in names])
    except ValidationError as error:
        for line in problems(error, kind):
            show_error(line)
    except CircuitExplorerError as error:
        show_error(str(error))


def _submit(requests: list[dict[str, Any]]) -> None:
    job_ids = [queue().submit(make_request("importance", **fields)) for fields in requests]
    # The queue knows the request with everything filled in, which is what a subject goes by.
    request = queue().status(job_ids[0]).request
    assert isinstance(request, Importance)
    st.session_state["ablations-next"] = subject_key(request)
    st.rerun()
