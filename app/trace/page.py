"""Causal tracing: where in the layers and tokens is the fact recalled?"""

from collections.abc import Callable

import streamlit as st

from app import state
from app.figures.style import Look
from app.parts.jobs import jobs_panel
from app.parts.subjects import choose_subject
from app.presentation import page_look
from app.requests import queue
from app.runs import model_name, shelf
from app.text import plain
from app.trace.average import average_panel
from app.trace.choice import Shown, choose_shown
from app.trace.data import (
    EFFECT,
    METRIC_NAMES,
    STATE_NAMES,
    TraceSubject,
    corruption_names,
    corruption_title,
    settings_text,
    subjects,
    training_text,
)
from app.trace.form import trace_form
from app.trace.heads import heads_panel
from app.trace.maps import cell_of, maps_panel
from app.trace.noise import noise_panel
from engine.runs.store import Run

URL: dict[str, Callable[[str], object]] = {
    "subject": str,
    "state": str,
    "window": int,
    "metric": str,
    "row": int,
    "class": str,
    "measure": str,
    "cell": cell_of,
}
DEFAULTS: dict[str, object] = {"metric": "probability", "measure": "effect"}
WHAT = (
    "The subject is corrupted, so that the answer is lost. Then one clean state is put back, at one token "
    "and layer: what returns of the answer is that state's **indirect effect**."
)
WHY = (
    "**Gaussian noise** on the subject's embeddings (ROME) leaves a part of what they say, another in every "
    "draw, and what the noise itself breaks later counts as an effect, too. **Optimal ablation** takes the "
    "same constant for every subject, which can say nothing of it, and of all constants the one that does "
    "the answer the least harm: what returns then is what the state brought.\n\n"
    "Under optimal ablation every class of token and layer has a constant of its own, and so has restoring "
    f"nothing. {EFFECT} The **share recovered** takes for either the constant that is best for it, as "
    "published.\n\n"
    "The *residual stream* of layer l is the stream before that layer: at layer 0 the token is wholly as it "
    "was. What ROME calls the output of block l is our layer l + 1."
)


def page() -> None:
    """Draw the page: what is shown on the left, the maps, then averages over prompts."""
    scheme = page_look()
    state.read_url("trace", URL | dict.fromkeys(corruption_names(), str), prefix="trace-")
    there = subjects(shelf(), [job.request for job in queue().jobs() if job.active])
    with st.sidebar:
        subject = choose_subject(
            there,
            "trace",
            "Nothing is traced of '{}' here.",
            "A prompt, or all facts the model knows, that something was traced of.",
        )
        jobs_panel()
        trace_form(scheme)
    if subject is None:
        st.title("Causal tracing", anchor=False)
        st.info(
            "Nothing is traced yet. Type a prompt and its subject on the left and press **Trace**.",
            icon=":material/timeline:",
        )
        return
    st.title(plain(f"Causal tracing: {subject.title}"), anchor=False)
    st.caption(WHAT)
    with st.expander("Noise or constants, and which layer is meant", icon=":material/help:"):
        st.markdown(WHY)
    shown = choose_shown(subject)
    if shown is None:
        st.info("Its first trace is being made; progress is on the left.", icon=":material/hourglass:")
        return
    _ends(subject, shown)
    _figures(subject, shown, scheme)
    noise_panel(subject, shown, scheme)
    _write_url(subject, shown, first=next(iter(there)))


def _figures(subject: TraceSubject, shown: Shown, scheme: Look) -> None:
    """Draw the maps, and of a task what there is over its prompts."""
    if not subject.own and not shown.classes:
        st.info("No effect was measured at any class of tokens: take more prompts.")
        _provenance(subject, shown)
        return
    maps_panel(subject, shown, scheme)
    _provenance(subject, shown)
    if subject.own:
        return
    if shown.state == "head":
        heads_panel(shown, st.session_state["trace-class"], scheme)
    else:
        average_panel(shown, scheme)
    _provenance(subject, shown)


def _ends(subject: TraceSubject, shown: Shown) -> None:
    """Say what the answer is worth clean and corrupted."""
    one = shown.first.result
    clean = one["clean"][shown.metric]["mean"]
    corrupted = ", ".join(
        f"{run.result['corrupted'][shown.metric]['mean']:.3g} ({corruption_title(name)})"
        for name, run in shown.runs.items()
    )
    what = f"of “{one['traced'][0]['answer'].strip()}”" if subject.own else "of the answers, on average"
    if shown.metric == "logit_difference":
        what = _first_token(subject, one["traced"][0])
    st.markdown(plain(f"{METRIC_NAMES[shown.metric]} {what}: {clean:.3g} clean; corrupted: {corrupted}."))


def _first_token(subject: TraceSubject, traced: dict[str, str]) -> str:
    """Return which tokens a logit difference is between: of an answer of several, only the first."""
    if not subject.own:
        return "of the answers' first tokens to those of wrong answers, on average"
    typed = subject.request.trace is not None and subject.request.trace.answer is not None
    of = f"of {'the first token of ' if typed else ''}“{traced['answer'].strip()}”"
    return f"{of} to “{traced['wrong_answer'].strip()}”"


def _provenance(subject: TraceSubject, shown: Shown) -> None:
    """Draw the line that says where the numbers come from."""
    request, one = subject.request, shown.first
    n = len(one.result["traced"])
    of = "this one prompt" if subject.own else f"{n} of {one.result['n_drawn']} test prompts, those it knows"
    alone = "one at a time" if shown.state == "head" else "one layer at a time"
    window = f"window {shown.window}" if shown.window > 1 else alone
    how = "; ".join(_how(name, run) for name, run in shown.runs.items())
    restored = f"restored: {STATE_NAMES[shown.state]}, {window}"
    st.caption(plain(f"{model_name(request.model)} · {of} · {restored} · seed {request.seed} · {how}"))


def _how(corruption: str, run: Run) -> str:
    """Return the settings of a corruption, what trained it, and the run."""
    inside = "; ".join(part for part in (settings_text(run), training_text(run.request)) if part)
    return f"{corruption_title(corruption)}{f' ({inside})' if inside else ''}, run {run.run_id}"


def _write_url(subject: TraceSubject, shown: Shown, first: str) -> None:
    values = {"subject": subject.key, "state": shown.state, "window": shown.window, "metric": shown.metric}
    values |= {name: run.run_id for name, run in shown.runs.items() if name in corruption_names()}
    if (cell := st.session_state.get("trace-cell")) is not None:
        values["cell"] = ",".join(map(str, cell))
    if subject.own and shown.state == "head":
        values["row"] = st.session_state["trace-row"]
    if not subject.own:
        # Where nothing was lost, there is nothing to choose.
        chosen = {name: st.session_state.get(f"trace-{name}") for name in ("class", "measure")}
        values |= {name: value for name, value in chosen.items() if value is not None}
    state.write_url("trace", values, _defaults(subject, shown, first))


def _defaults(subject: TraceSubject, shown: Shown, first: str) -> dict[str, object]:
    """Return what the address leaves out."""
    defaults = DEFAULTS | {"subject": first, "state": "residual", "window": 1, "class": "last"}
    defaults["row"] = len(shown.first.result["traced"][0]["tokens"]) - 1
    alone = {name: subject.of(shown.state, shown.window, name) for name in shown.runs}
    return defaults | {name: runs[0].run_id for name, runs in alone.items() if runs}


page()
