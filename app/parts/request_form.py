"""Parts shared by forms: the choosers of model, task and ablation, and the button that sends the form."""

import streamlit as st

from engine.ablations.base import ablations
from engine.errors import RequestError
from engine.instruments.words import title_of
from engine.models import shipped_models
from engine.tasks.base import tasks


def choose_model(key: str) -> str:
    """Draw the chooser of a model and return its name; "" if none is chosen."""
    model = st.selectbox(
        "Model",
        list(shipped_models()),
        key=key,
        accept_new_options=True,
        help="A shipped model, a Hugging Face id such as gpt2, or a folder.",
    )
    return model or ""


def start_button(label: str, key: str, shortcut: bool = True, disabled: bool = False) -> bool:
    """Draw the button that sends a form, by Ctrl+Enter too, and return whether it was pressed."""
    return st.button(
        label,
        type="primary",
        icon=":material/play_arrow:",
        shortcut="ctrl+enter" if shortcut else None,
        width="stretch",
        key=key,
        disabled=disabled,
    )


def require_model(model: str) -> None:
    """Refuse a form without a model.

    Raises:
        RequestError: the model is "".
    """
    if not model:
        raise RequestError("Choose a model: a shipped one, a Hugging Face id or a folder")


def choose_task(key: str) -> str:
    """Draw the chooser of a task and return its name or file; "" if none is chosen."""
    st.session_state.setdefault(key, "ioi")
    task = st.selectbox(
        "Task",
        tasks.names(),
        format_func=lambda name: title_of("task", name),
        key=key,
        accept_new_options=True,
        help="A behaviour, or a file with pairs of prompts of your own.",
    )
    return task or ""


def choose_ablation(key: str) -> str:
    """Draw the chooser of an ablation and return its name."""
    return st.selectbox(
        "Ablation",
        ablations.names(),
        format_func=lambda name: title_of("ablation", name),
        key=key,
        help="What stands in for an activation that is taken away.",
    )
