"""Causal tracing: where in the layers and tokens is the fact recalled?"""

import streamlit as st

from app import state
from app.figures.style import Look
from app.parts.jobs import jobs_panel
from app.parts.notes import show_notes
from app.parts.subjects import choose_subject
from app.presentation import page_look
from app.requests import queue
from app.runs import shelf
from app.text import plain
from app.trace.average import average_panel
from app.trace.choice import Shown, choose_shown
from app.trace.data import (
    EFFECT,
    METRIC_NAMES,
    STATE_NAMES,
    TraceRun,
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
from engine.instruments.trace.result import TracedPrompt
from engine.instruments.words import model_name

PARAMETERS = (
    state.Parameter("subject"),
    state.Parameter("state", default="residual"),
    state.Parameter("window", int, default=1),
    state.Parameter("metric", default="probability"),
    state.Parameter("row", int),
    state.Parameter("class", default="last"),
    state.Parameter("measure", default="effect"),
    state.Parameter("cell", cell_of, lambda cell: ",".join(map(str, cell))),
)
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
    """Draw the page: choosers on the left, the maps, then averages over prompts."""
    scheme = page_look()
    state.take_address("trace", _parameters(), prefix="trace-")
    subjects_here = subjects(shelf(), [job.request for job in queue().jobs() if job.active])
    with st.sidebar:
        subject = choose_subject(
            subjects_here,
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
    _write_url(subject, shown, first=next(iter(subjects_here)))


def _figures(subject: TraceSubject, shown: Shown, scheme: Look) -> None:
    """Draw the maps and, for a task, the averages over its prompts."""
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
    """Draw the metric of the answer on the clean and on the corrupted prompt."""
    result = shown.first.result
    clean = result.clean[shown.metric].mean
    corrupted = ", ".join(
        f"{run.result.corrupted[shown.metric].mean:.3g} ({corruption_title(name)})"
        for name, run in shown.runs.items()
    )
    of_answer = f"of “{result.traced[0].answer.strip()}”" if subject.own else "of the answers, on average"
    if shown.metric == "logit_difference":
        of_answer = _first_token(subject, result.traced[0])
    st.markdown(
        plain(f"{METRIC_NAMES[shown.metric]} {of_answer}: {clean:.3g} clean; corrupted: {corrupted}.")
    )


def _first_token(subject: TraceSubject, traced: TracedPrompt) -> str:
    """Return the two tokens of the logit difference in words; only an answer's first token counts."""
    if not subject.own:
        return "of the answers' first tokens to those of wrong answers, on average"
    typed = subject.request.trace.answer is not None
    of = f"of {'the first token of ' if typed else ''}“{traced.answer.strip()}”"
    return f"{of} to “{traced.wrong_answer.strip()}”"


def _provenance(subject: TraceSubject, shown: Shown) -> None:
    """Draw the source of the numbers."""
    request, result = subject.request, shown.first.result
    n = len(result.traced)
    of = "this one prompt" if subject.own else f"{n} of {result.n_drawn} test prompts, those it knows"
    alone = "one at a time" if shown.state == "head" else "one layer at a time"
    window = f"window {shown.window}" if shown.window > 1 else alone
    how = "; ".join(_how(name, run) for name, run in shown.runs.items())
    restored = f"restored: {STATE_NAMES[shown.state]}, {window}"
    st.caption(plain(f"{model_name(request.model)} · {of} · {restored} · seed {request.seed} · {how}"))
    show_notes(shown.runs.values())


def _how(corruption: str, run: TraceRun) -> str:
    """Return a run's corruption in words: its settings, its training, and the run."""
    inside = "; ".join(part for part in (settings_text(run), training_text(run.request)) if part)
    return f"{corruption_title(corruption)}{f' ({inside})' if inside else ''}, run {run.run_id}"


def _parameters() -> list[state.Parameter]:
    """Return the parameters of the page, one more for the run of every corruption."""
    return [*PARAMETERS, *map(state.Parameter, corruption_names())]


def _write_url(subject: TraceSubject, shown: Shown, first: str) -> None:
    runs = {name: run.run_id for name, run in shown.runs.items()}
    values: dict[str, object] = {**dict.fromkeys(corruption_names()), **runs}
    values |= {"subject": subject.key, "state": shown.state, "window": shown.window, "metric": shown.metric}
    defaults: dict[str, object] = {"subject": first, "row": len(shown.first.result.traced[0].tokens) - 1}
    for name in shown.runs:
        if alone := subject.of(shown.state, shown.window, name):
            defaults[name] = alone[0].run_id
    # A prompt has rows of heads, a task classes of tokens.
    hidden = ("class", "measure", *(() if shown.state == "head" else ("row",))) if subject.own else ("row",)
    state.put_address("trace", _parameters(), "trace-", defaults, values, hidden)


page()
