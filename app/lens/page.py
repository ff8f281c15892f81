"""Lens: what would the model say if it stopped here?"""

from collections.abc import Callable

import streamlit as st

from app import state
from app.figures.style import Look
from app.lens.choice import about_lens
from app.lens.data import (
    Reading,
    all_lenses,
    changed,
    lens_title,
    present_weights,
    readings,
    trained_run,
    trainings,
)
from app.lens.faithfulness import faithfulness
from app.lens.form import lens_form
from app.lens.layers import over_texts, race
from app.lens.part import last_tokens, least_stride, tokens_of_url, url_of_tokens
from app.lens.tables import one_lens, two_lenses
from app.parts.jobs import jobs_panel
from app.parts.options import choose_option
from app.parts.subjects import choose_subject
from app.presentation import page_look
from app.requests import queue
from app.runs import model_name, shelf
from app.text import plain
from engine.runs.store import Run

VIEWS = {
    "one": "One lens",
    "two": "Two lenses",
    "race": "Race of words",
    "texts": "Over many texts",
    "faithfulness": "Faithfulness",
}
DEFAULTS: dict[str, object] = {
    "view": "one",
    "lens": "oca",
    "statistic": "probability",
    "first": "oca",
    "second": "tuned",
    "distance": "lens_js",
    "measure": "kl",
    "intervention": "projection",
    "directions": "random",
    "resampled": 5,
}
URL: dict[str, Callable[[str], object]] = {
    "subject": str,
    "after": int,
    "every": int,
    "tokens": tokens_of_url,
    **dict.fromkeys(DEFAULTS, str),
    "resampled": int,
}
USED = {
    "one": ("lens", "statistic", "every", "tokens"),
    "two": ("first", "second", "distance", "statistic", "every", "tokens"),
    "race": ("lens", "after"),
    "texts": ("measure",),
    "faithfulness": ("intervention", "directions", "resampled"),
}
WHAT = "A lens reads the residual stream before a layer as if the model had to answer from there."
WHY = (
    "The **OCA lens** (optimal constant attention) shows what is decided already: its constants can bring "
    "nothing from other tokens. The **tuned lens** may learn what usually comes later, and so say what the "
    "model does not know yet.\n\n"
    "The top row is the model's own answer, where all lenses agree; of a text that ran with nodes ablated or "
    "in a circuit it is what came out of that, and the distances are to it. A row *L2 mid* is between the "
    "attention and the MLP of layer 2."
)


def page() -> None:
    """Draw the page: what is read, the view chosen, and last the form, which loads a tokenizer."""
    scheme = page_look()
    state.read_url("lens", URL, prefix="lens-")
    there = readings(shelf(), [job.request for job in queue().jobs() if job.active])
    with st.sidebar:
        reading = choose_subject(
            there, "lens", "There is no reading '{}' here.", "A text that lenses have read."
        )
        jobs_panel()
    if reading is None:
        st.title("Lens", anchor=False)
        st.info("No text is read yet. Type one on the left and press **Read**.", icon=":material/search:")
    else:
        _reading(reading, next(iter(there)), scheme)
    with st.sidebar:
        lens_form(scheme)


def _reading(reading: Reading, first: str, scheme: Look) -> None:
    """Draw a reading.

    Args:
        first: key of the reading that the page shows if none is asked for.
    """
    st.title(plain(f"Lens: {reading.title}"), anchor=False)
    st.caption(WHAT)
    with st.expander("What each lens does", icon=":material/help:"):
        st.markdown("\n".join(f"- **{lens_title(name)}**: {about_lens(name)}" for name in all_lenses()))
        st.markdown(WHY)
    if reading.run is None:
        st.info("It is being read; progress is on the left.", icon=":material/hourglass:")
        return
    notice = st.container()
    view = choose_option("View", "lens-view", list(VIEWS), VIEWS.__getitem__, label_visibility="collapsed")
    _show(view, reading, reading.run, scheme)
    _write_url(view, reading, reading.run, first)
    with notice:
        _changed_since(reading)


def _changed_since(reading: Reading) -> None:
    """Warn of a reading by weights that the model no longer has; large weights take a while to look at."""
    if present_weights(reading.request.model) not in (None, reading.request.weights_hash):
        st.warning(
            "The weights of this model have changed since this text was read. Press **Read** on the left to "
            "read it with the model as it is now; its lenses are trained anew.",
            icon=":material/update:",
        )


def _show(view: str, reading: Reading, run: Run, scheme: Look) -> None:
    if view in ("texts", "faithfulness"):
        if (trained := trained_run(shelf(), reading)) is None:
            _untrained(reading)
            return
        (over_texts if view == "texts" else faithfulness)(trained, scheme)
        _where_from(run, trained)
        return
    {"one": one_lens, "two": two_lenses, "race": race}[view](run, scheme)
    asked = reading.request.lens
    assert asked is not None
    trained_by = "" if run.result["trained"] is None else f" · lenses of run {run.result['trained']}"
    what = changed(reading.request).strip() or "the whole model"
    if asked.circuit is not None:
        what += f" of run {asked.circuit.run} ({asked.ablation} for the others)"
    st.caption(plain(f"{model_name(run.request.model)} · one text, {what} · run {run.run_id}{trained_by}"))


def _where_from(run: Run, trained: Run) -> None:
    """Draw the line that says where numbers over many texts come from."""
    if run.result["trained"] not in (None, trained.run_id):
        st.caption(
            plain(
                f"The lenses that read this text are of run {run.result['trained']}, which is not here: "
                "these are others of the same model."
            )
        )
    asked = trained.request
    st.caption(
        plain(f"{model_name(asked.model)} · texts held out · seed {asked.seed} · run {trained.run_id}")
    )


def _untrained(reading: Reading) -> None:
    """Say what to do where there are no lenses to show."""
    model = plain(model_name(reading.request.model))
    others = trainings(shelf(), reading.request.model)
    if others:
        what = (
            f"The lenses of {model} that are here (run {plain(others[0].run_id)}) were trained on other "
            "weights than those that read this text."
        )
    else:
        what = f"No lenses of {model} are trained here."
    st.info(
        f"{what} Choose this model on the left and press **Read**: its lenses are trained first, once, and "
        "measured on texts held out.",
        icon=":material/science:",
    )


def _write_url(view: str, reading: Reading, run: Run, first: str) -> None:
    values: dict[str, object] = {"subject": reading.key, "view": view}
    n = len(run.result["tokens"])
    defaults = DEFAULTS | {"subject": first, "after": n - 1, "every": least_stride(run)}
    defaults |= {"tokens": url_of_tokens(last_tokens(n))}
    for name in USED[view]:
        if (value := st.session_state.get(f"lens-{name}")) is not None:
            values[name] = url_of_tokens(value) if name == "tokens" else value
    if view == "faithfulness":
        values.pop("directions" if values.get("intervention") == "resample" else "resampled", None)
    state.write_url("lens", values, defaults)


page()
