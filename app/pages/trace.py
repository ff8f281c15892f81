"""Causal tracing: where in the layers and tokens is the fact recalled?"""

import streamlit as st

from app import state
from app.data import model_name, shelf
from app.jobs import queue
from app.panels.jobs import jobs_panel
from app.panels.subjects import choose_subject
from app.panels.trace_average import average_panel
from app.panels.trace_choice import Shown, choose_shown
from app.panels.trace_data import (
    METRIC_NAMES,
    STATE_NAMES,
    WITHIN,
    TraceSubject,
    settings_text,
    subjects,
)
from app.panels.trace_form import trace_form
from app.panels.trace_maps import cell_of, maps_panel
from app.presentation import page_look
from app.text import plain

URL = {
    "subject": str,
    "state": str,
    "window": int,
    "metric": str,
    "row": int,
    "class": str,
    "measure": str,
    "optimal": str,
    "gaussian": str,
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
    "nothing. An effect sets the restored state against the same constant with nothing restored, as it does "
    "with the same noise; the **share recovered** takes for either the constant that is best for it, as "
    "published.\n\n"
    "The *residual stream* of layer l is the stream before that layer: at layer 0 the token is wholly as it "
    "was. What ROME calls the output of block l is our layer l + 1."
)


def page() -> None:
    """Draw the page: what is shown on the left, the maps, then averages over prompts."""
    scheme = page_look()
    state.read_url("trace", URL, prefix="trace-")
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
    st.title(plain(f"Causal tracing: {subject.label.split(' · ')[0]}"), anchor=False)
    st.caption(WHAT)
    with st.expander("Noise or constants, and which layer is meant", icon=":material/help:"):
        st.markdown(WHY)
    shown = choose_shown(subject)
    if shown is None:
        st.info("Its first trace is being made; progress is on the left.", icon=":material/hourglass:")
        return
    _ends(subject, shown)
    maps_panel(subject, shown, scheme)
    _provenance(subject, shown)
    if not subject.own and shown.state != "head":
        average_panel(shown, scheme)
        _provenance(subject, shown)
    _write_url(subject, shown, first=next(iter(there)))


def _ends(subject: TraceSubject, shown: Shown) -> None:
    """Say what the answer is worth clean and corrupted."""
    one = next(iter(shown.runs.values())).result
    clean = one["clean"][shown.metric]["mean"]
    corrupted = ", ".join(
        f"{run.result['corrupted'][shown.metric]['mean']:.3g} by {WITHIN[name]}"
        for name, run in shown.runs.items()
    )
    what = f"of “{one['traced'][0]['answer'].strip()}”" if subject.own else "of the answers, on average"
    words = METRIC_NAMES[shown.metric]
    if shown.metric == "logit_difference" and subject.own:
        what += f" to “{one['traced'][0]['wrong_answer'].strip()}”"
    st.markdown(plain(f"{words} {what}: {clean:.3g} clean; corrupted {corrupted}."))


def _provenance(subject: TraceSubject, shown: Shown) -> None:
    """Draw the line that says where the numbers come from."""
    request, one = subject.request, next(iter(shown.runs.values()))
    n = len(one.result["traced"])
    of = "this one prompt" if subject.own else f"{n} of {one.result['n_drawn']} test prompts, those it knows"
    window = f"window {shown.window}" if shown.window > 1 else "one layer at a time"
    how = "; ".join(
        f"{WITHIN[name]} ({settings_text(run)}), run {run.run_id}" for name, run in shown.runs.items()
    )
    state_name = STATE_NAMES[shown.state].lower()
    st.caption(
        plain(f"{model_name(request.model)} · {of} · {state_name}, {window} · seed {request.seed} · {how}")
    )


def _write_url(subject: TraceSubject, shown: Shown, first: str) -> None:
    values = {"subject": subject.key, "state": shown.state, "window": shown.window, "metric": shown.metric}
    values |= {name: run.run_id for name, run in shown.runs.items()}
    if (cell := st.session_state.get("trace-cell")) is not None:
        values["cell"] = ",".join(map(str, cell))
    if shown.state == "head":
        values["row"] = st.session_state["trace-row"]
    elif not subject.own:
        values |= {name: st.session_state[f"trace-{name}"] for name in ("class", "measure")}
    state.write_url("trace", values, _defaults(subject, shown, first))


def _defaults(subject: TraceSubject, shown: Shown, first: str) -> dict[str, object]:
    """Return what the address leaves out."""
    one = next(iter(shown.runs.values())).result
    defaults = DEFAULTS | {"subject": first, "state": "residual", "window": 1, "class": "last"}
    defaults["row"] = len(one["traced"][0]["tokens"] if subject.own else one["classes"]) - 1
    alone = {name: subject.of(shown.state, shown.window, name) for name in shown.runs}
    return defaults | {name: runs[0].run_id for name, runs in alone.items() if runs}


page()
