"""Lens: what would the model say if it stopped here?"""

from collections.abc import Callable

import streamlit as st

from app import state
from app.data import model_name, shelf
from app.figures.style import Look
from app.jobs import queue
from app.panels.jobs import jobs_panel
from app.panels.lens_data import Reading, changed, readings, trained_run
from app.panels.lens_form import lens_form
from app.panels.lens_layers import faithfulness, over_texts, race
from app.panels.lens_tables import one_lens, two_lenses
from app.panels.subjects import choose_subject
from app.presentation import page_look
from app.text import plain
from engine.runs import Run

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
}
URL: dict[str, Callable[[str], object]] = {
    "subject": str,
    "after": int,
    "intervention": str,
    "directions": str,
    **dict.fromkeys(DEFAULTS, str),
}
USED = {
    "one": ("lens", "statistic"),
    "two": ("first", "second", "distance", "statistic"),
    "race": ("lens", "after"),
    "texts": (),
    "faithfulness": ("intervention", "directions"),
}
WHAT = "A lens reads the residual stream before a layer as if the model had to answer from there."
WHY = (
    "The **logit lens** puts the stream straight through the last norm and the unembedding. The **tuned "
    "lens** learns an affine map for every layer first. The **OCA lens** keeps the model's own MLPs and "
    "replaces every attention still to come by one constant, trained to bring the answer nearest to the "
    "model's: so it shows what is decided already, without another look at other tokens. The **mean lens** "
    "takes mean attention outputs instead, and the **linear OCA lens** is the best linear map to what the "
    "OCA lens says.\n\nThe top row is the model's own answer, where all lenses agree; of a text that ran "
    "with nodes ablated or in a circuit it is what came out of that, and the distances are to it."
)


def page() -> None:
    """Draw the page: what is read on the left, then the view chosen."""
    scheme = page_look()
    state.read_url("lens", URL, prefix="lens-")
    there = readings(shelf(), [job.request for job in queue().jobs() if job.active])
    with st.sidebar:
        reading = choose_subject(
            there, "lens", "There is no reading '{}' here.", "A text that lenses have read."
        )
        jobs_panel()
        lens_form()
    if reading is None:
        st.title("Lens", anchor=False)
        st.info("No text is read yet. Type one on the left and press **Read**.", icon=":material/search:")
        return
    assert reading.request.lens is not None
    st.title(plain(f"Lens: {reading.label.rsplit(' · ', 1)[0]}"), anchor=False)
    st.caption(WHAT)
    with st.expander("The five lenses", icon=":material/help:"):
        st.markdown(WHY)
    if reading.run is None:
        st.info("It is being read; progress is on the left.", icon=":material/hourglass:")
        return
    view = _choose_view()
    _show(view, reading, reading.run, scheme)
    _write_url(view, reading, first=next(iter(there)))


def _choose_view() -> str:
    if st.session_state.get("lens-view") not in VIEWS:
        st.session_state["lens-view"] = "one"
    view = st.segmented_control(
        "View",
        list(VIEWS),
        key="lens-view",
        format_func=VIEWS.__getitem__,
        required=True,
        label_visibility="collapsed",
        persist_state="session",
    )
    return view or "one"


def _show(view: str, reading: Reading, run: Run, scheme: Look) -> None:
    if view in ("texts", "faithfulness"):
        if (trained := trained_run(shelf(), reading)) is None:
            st.info("The lenses of this model are not trained here.", icon=":material/science:")
            return
        (over_texts if view == "texts" else faithfulness)(trained, scheme)
        asked = trained.request
        about = f"{model_name(asked.model)} · texts held out"
        st.caption(plain(f"{about} · seed {asked.seed} · run {trained.run_id}"))
        return
    {"one": one_lens, "two": two_lenses, "race": race}[view](run, scheme)
    trained_by = "" if run.result["trained"] is None else f" · lenses of run {run.result['trained']}"
    what = changed(reading.request).strip() or "the whole model"
    st.caption(plain(f"{model_name(run.request.model)} · one text, {what} · run {run.run_id}{trained_by}"))


def _write_url(view: str, reading: Reading, first: str) -> None:
    assert reading.run is not None
    values: dict[str, object] = {"subject": reading.key, "view": view}
    for name in USED[view]:
        if (value := st.session_state.get(f"lens-{name}")) is not None:
            values[name] = value
    last = len(reading.run.result["tokens"]) - 1
    state.write_url("lens", values, DEFAULTS | {"subject": first, "after": last})


page()
