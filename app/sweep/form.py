"""The form for a comparison of methods."""

import math
import re
from typing import Any

import streamlit as st

from app.errors import show_error
from app.forms import fields_form
from app.parts.request_form import choose_model, require_model, start_button
from app.requests import queue
from app.runs import store
from engine.ablations.base import ablations
from engine.discovery.base import methods
from engine.errors import CircuitExplorerError, RequestError
from engine.instruments.discover.request import Discover
from engine.instruments.sweep.parts import parts
from engine.instruments.sweep.request import Sweep
from engine.instruments.words import title_of
from engine.runs.kinds import make_request
from engine.tasks.base import tasks

MOST_SEEDS = 50
OWN_FILE = "Behaviours; a file with pairs of prompts of your own can be typed in."
FIRST_METHODS, FIRST_ABLATIONS = ("edge-pruning", "eap", "random"), ("counterfactual",)


def sweep_form(shortcut: bool) -> None:
    """Draw the form; when it is sent, queue the comparison, and show it once it is finished.

    Args:
        shortcut: Ctrl+Enter sends it.
    """
    st.subheader("New comparison of methods", anchor=False)
    model = choose_model("sweep-model")
    names = {
        "tasks": _several("Tasks", "task", tasks.names(), ("ioi",), OWN_FILE),
        "methods": _several("Methods", "method", methods.names(), FIRST_METHODS),
        "ablations": _several("Ablations", "ablation", ablations.names(), FIRST_ABLATIONS),
    }
    left, right = st.columns(2)
    seeds = left.text_input(
        "Seeds", "0, 1, 2", key="sweep-seeds", help="Numbers and ranges, such as 0, 1, 2 or 0-4."
    )
    prompts = right.number_input(
        "Prompts",
        1,
        100_000,
        200,
        key="sweep-prompts",
        help="How many to discover with, and how many to evaluate on, at most.",
    )
    with st.expander("Settings of the methods"):
        settings = {name: changed for name in names["methods"] if (changed := _settings(name))}
    problem, request = None, None
    try:
        plan = names | {"seeds": seeds_of(seeds), "settings": settings}
        request = _request(model, plan, int(prompts))
        st.caption(_size(request))
    except RequestError as error:
        problem = str(error)
        st.caption(problem)
    if start_button("Compare methods", "sweep-start", shortcut):
        if request is None:
            show_error(problem or "")
        else:
            _start(request)


def seeds_of(text: str) -> list[int]:
    """Return the seeds that a text names: "0, 1, 2" or "0-2".

    Raises:
        RequestError: it names none, too many, or is no list of numbers.
    """
    seeds: list[int] = []
    for part in re.split(r"[\s,;]+", re.sub(r"\s*[-–]\s*", "-", text.strip())):
        ends = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part)
        if ends is None:
            raise RequestError(f"Seeds are numbers and ranges, such as 0, 1, 2 or 0-4, not '{text[:40]}'")
        low, high = int(ends[1]), int(ends[2] or ends[1])
        if high - low >= MOST_SEEDS:
            raise RequestError(f"Name {MOST_SEEDS} seeds at most")
        if high < low:
            raise RequestError(f"The range of seeds {part} is empty")
        seeds += range(low, high + 1)
    seeds = list(dict.fromkeys(seeds))
    if len(seeds) > MOST_SEEDS:
        raise RequestError(f"Name {MOST_SEEDS} seeds at most")
    return seeds


def awaited() -> str | None:
    """Return, once, the id of the finished comparison that this session asked for; None otherwise."""
    run_id = st.session_state.get("sweep-awaited")
    if run_id is None or run_id not in store():
        return None
    del st.session_state["sweep-awaited"]
    return run_id


def _several(
    label: str, kind: str, names: list[str], first: tuple[str, ...], own: str | None = None
) -> list[str]:
    return st.multiselect(
        label,
        names,
        [name for name in first if name in names],
        format_func=lambda name: title_of(kind, name),
        key=f"sweep-{kind}s",
        placeholder="Choose",
        accept_new_options=own is not None,
        help=own,
    )


def _settings(method: str) -> dict[str, Any]:
    """Draw the settings of a method and return those that are not the default."""
    settings = methods.get(method).Settings
    if not settings.model_fields:
        return {}
    st.markdown(f"**{title_of('method', method)}**")
    return fields_form(settings, f"sweep-set-{method}")


def _request(model: str, plan: dict[str, Any], prompts: int) -> Sweep:
    """Return the request.

    Raises:
        RequestError: something is missing or out of range.
    """
    require_model(model)
    for name in ("tasks", "methods", "ablations"):
        if not plan[name]:
            raise RequestError(f"Choose at least one of the {name}")
    first = {"task": plan["tasks"][0], "ablation": plan["ablations"][0]}
    return make_request("sweep", model=model, n_prompts=prompts, sweep=plan, **first)


def _size(request: Sweep) -> str:
    """Return the amount of work of a comparison, in words."""
    plan, requests = request.sweep, parts(request)
    n = sum(isinstance(part, Discover) for part in requests)
    chosen = {"method": plan.methods, "ablation": plan.ablations, "task": plan.tasks, "seed": plan.seeds}
    product = " × ".join(
        f"{len(names)} {kind if len(names) == 1 else f'{kind}s'}" for kind, names in chosen.items()
    )
    line = f"{n:,} {'discovery' if n == 1 else 'discoveries'}: {product}."
    if n > math.prod(map(len, chosen.values())):
        line += " Random scores are drawn with more seeds, for their band."
    if more := len(requests) - n:
        line += f" Before them {more} {'run' if more == 1 else 'runs'} of every node's importance, for the "
        line += "constants of the optimal ablation."
    return f"{line} What is finished already is not computed again."


def _start(request: Sweep) -> None:
    try:
        job_id = queue().submit(request)
    except CircuitExplorerError as error:
        show_error(str(error))
        return
    st.session_state["sweep-awaited"] = job_id
    st.rerun()  # the jobs stand above the form and are drawn already
