"""Lens: what would the model say if it stopped here?"""

import streamlit as st

from app import state
from app.figures.style import Look
from app.lens.choice import about_lens
from app.lens.data import (
    Reading,
    ReadRun,
    TrainedRun,
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
from app.parts.notes import show_notes
from app.parts.options import choose_option
from app.parts.subjects import choose_subject
from app.presentation import page_look
from app.requests import queue
from app.runs import shelf
from app.text import plain
from engine.instruments.lens.instrument import TrainLensesInstrument
from engine.instruments.words import model_name

VIEWS = {
    "one": "One lens",
    "two": "Two lenses",
    "race": "Race of words",
    "texts": "Over many texts",
    "faithfulness": "Faithfulness",
}
PARAMETERS = (
    state.Parameter("subject"),
    state.Parameter("trained"),
    state.Parameter("view", default="one"),
    state.Parameter("lens", default="oca"),
    state.Parameter("statistic", default="probability"),
    state.Parameter("first", default="oca"),
    state.Parameter("second", default="tuned"),
    state.Parameter("distance", default="lens_js"),
    state.Parameter("after", int),
    state.Parameter("every", int),
    state.Parameter("tokens", tokens_of_url, url_of_tokens),
    state.Parameter("measure", default="kl"),
    state.Parameter("intervention", default="projection"),
    state.Parameter("directions", default="random"),
    state.Parameter("resampled", int, default=5),
)
TRAINED = ("texts", "faithfulness")  # the views that are about lenses, not about a text
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
    """Draw the page: reading, view, and last the form, which loads a tokenizer."""
    scheme = page_look()
    state.take_address("lens", PARAMETERS, prefix="lens-")
    readings_here = readings(shelf(), [job.request for job in queue().jobs() if job.active])
    with st.sidebar:
        reading = choose_subject(
            readings_here, "lens", "There is no reading '{}' here.", "A text that lenses have read."
        )
        jobs_panel()
    if (trained := _asked_for()) is not None:
        _training(trained, scheme)
    elif reading is None:
        st.title("Lens", anchor=False)
        st.info("No text is read yet. Type one on the left and press **Read**.", icon=":material/search:")
    else:
        _reading(reading, next(iter(readings_here)), scheme)
    with st.sidebar:
        lens_form(scheme)


def _asked_for() -> TrainedRun | None:
    """Return the run of trained lenses that the address names, if the store has it."""
    wanted = st.session_state.get("lens-trained")
    runs = {run.run_id: run for run in shelf().of(TrainLensesInstrument)}
    if wanted is not None and wanted not in runs:
        st.warning(f"There are no trained lenses '{plain(wanted[:80])}' here. This is something else.")
        del st.session_state["lens-trained"]
    return runs.get(wanted or "")


def _training(trained: TrainedRun, scheme: Look) -> None:
    """Draw trained lenses, whether or not they have read a text."""
    st.title(plain(f"Lens: trained for {model_name(trained.request.model)}"), anchor=False)
    st.caption(WHAT)
    if st.session_state.get("lens-view") not in TRAINED:
        st.session_state["lens-view"] = TRAINED[0]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        view = choose_option(
            "View", "lens-view", list(TRAINED), VIEWS.__getitem__, label_visibility="collapsed"
        )
        st.button(
            "Texts that were read",
            key="lens-to-texts",
            icon=":material/article:",
            on_click=st.session_state.pop,
            args=("lens-trained", None),
        )
    (over_texts if view == "texts" else faithfulness)(trained, scheme)
    _held_out(trained)
    _put_address(view, {"subject": None})


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
    """Warn if the model's weights have changed since the reading; hashing large weights takes a while."""
    if present_weights(reading.request.model) not in (None, reading.request.weights_hash):
        st.warning(
            "The weights of this model have changed since this text was read. Press **Read** on the left to "
            "read it with the model as it is now; its lenses are trained anew.",
            icon=":material/update:",
        )


def _show(view: str, reading: Reading, run: ReadRun, scheme: Look) -> None:
    if view in TRAINED:
        if (trained := trained_run(shelf(), reading)) is None:
            _untrained(reading)
            return
        (over_texts if view == "texts" else faithfulness)(trained, scheme)
        _where_from(run, trained)
        return
    {"one": one_lens, "two": two_lenses, "race": race}[view](run, scheme)
    asked = reading.request.lens
    trained_by = "" if run.result.trained is None else f" · lenses of run {run.result.trained}"
    changes = changed(reading.request).strip() or "the whole model"
    if asked.circuit is not None:
        changes += f" of run {asked.circuit.run} ({asked.ablation} for the others)"
    st.caption(plain(f"{model_name(run.request.model)} · one text, {changes} · run {run.run_id}{trained_by}"))
    show_notes([run])


def _where_from(run: ReadRun, trained: TrainedRun) -> None:
    """Draw the source of the numbers over many texts."""
    if run.result.trained not in (None, trained.run_id):
        st.caption(
            plain(
                f"The lenses that read this text are of run {run.result.trained}, which is not here: "
                "these are others of the same model."
            )
        )
    _held_out(trained)


def _held_out(trained: TrainedRun) -> None:
    asked = trained.request
    st.caption(
        plain(f"{model_name(asked.model)} · texts held out · seed {asked.seed} · run {trained.run_id}")
    )


def _untrained(reading: Reading) -> None:
    """Draw the hint for a reading whose lenses are missing."""
    model = plain(model_name(reading.request.model))
    others = trainings(shelf(), reading.request.model)
    if others:
        reason = (
            f"The lenses of {model} that are here (run {plain(others[0].run_id)}) were trained on other "
            "weights than those that read this text."
        )
    else:
        reason = f"No lenses of {model} are trained here."
    st.info(
        f"{reason} Choose this model on the left and press **Read**: its lenses are trained first, once, and "
        "measured on texts held out.",
        icon=":material/science:",
    )


def _write_url(view: str, reading: Reading, run: ReadRun, first: str) -> None:
    n = len(run.result.tokens)
    defaults = {"subject": first, "after": n - 1, "every": least_stride(run), "tokens": last_tokens(n)}
    _put_address(view, {"subject": reading.key}, defaults)


def _put_address(view: str, values: dict[str, object], defaults: dict[str, object] | None = None) -> None:
    """Put the parameters of the view into the address, without those of other views."""
    used = {"subject", "trained", "view", *USED[view]}
    if view == "faithfulness":
        resampled = st.session_state.get("lens-intervention") == "resample"
        used -= {"directions" if resampled else "resampled"}
    hidden = [parameter.name for parameter in PARAMETERS if parameter.name not in used]
    values = values | {"view": view}
    state.put_address("lens", PARAMETERS, "lens-", defaults or {}, values, hidden)


page()
