"""The wiring of the page "Causal tracing"; what is clicked is tested in browser/."""

import base64
import json

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.figures.trace_map import number_text
from tests.app.drawing import figure, open_page, text, views
from tests.app.fake_trace import HEADS, LAYERS, PROMPTS, SUBJECT, TOKENS, write_trace

MAPS = ("trace-map-optimal", "trace-map-gaussian", "trace-map-difference")


def page(**query: str) -> AppTest:
    return open_page("trace", **query)


def values(at: AppTest, key: str) -> np.ndarray:
    """The numbers of a map, [layers, columns]."""
    z = figure(at, key)["data"][0]["z"]
    if isinstance(z, dict):
        flat = np.frombuffer(base64.b64decode(z["bdata"]), dtype=z["dtype"])
        return flat.reshape([int(n) for n in z["shape"].split(",")])
    return np.array(z, dtype=float)


def test_without_traces_the_page_says_what_to_do(store):
    at = page()
    assert "press **Trace**" in at.info[0].value


def test_both_corruptions_stand_side_by_side_on_one_scale(store):
    runs = [write_trace(store, corruption) for corruption in ("gaussian", "optimal")]
    at = page()
    assert "South Korea" in at.title[0].value
    assert set(MAPS) <= set(views(at))
    assert all(view["alt"] for view in views(at).values())
    one, other, difference = (values(at, key) for key in MAPS)
    assert one.shape == (LAYERS, len(TOKENS))
    assert difference == pytest.approx(one - other)
    assert not one[:, : SUBJECT[0]].any()
    ends = [figure(at, key)["data"][0]["zmax"] for key in MAPS[:2]]
    assert ends[0] == ends[1] == pytest.approx(max(one.max(), other.max()))
    assert all(run in text(at) for run in runs)


def test_the_state_and_the_metric_of_the_address_are_shown(store):
    for corruption in ("gaussian", "optimal"):
        for state in ("residual", "head"):
            write_trace(store, corruption, state)
    at = page(state="head", metric="logit_difference", row="5")
    assert values(at, MAPS[0]).shape == (LAYERS, HEADS)
    assert "logit difference restored" in text(at)
    assert (at.query_params["state"], at.query_params["row"]) == ("head", "5")


def test_runs_of_other_settings_can_be_chosen(store):
    usual, loud = write_trace(store), write_trace(store, settings={"noise": 5.0})
    at = page()
    assert usual in text(at)
    assert loud not in text(at)
    at.selectbox(key="trace-gaussian").select(loud).run()
    assert loud in text(at)
    assert at.query_params["gaussian"] == loud
    assert "Optimal ablation is not traced here yet" in text(at)


def test_averages_over_prompts_have_profiles_peaks_and_concentration(store):
    for corruption in ("gaussian", "optimal"):
        write_trace(store, corruption, own=False)
    at = page(**{"class": "middle subject", "measure": "share"})
    assert {"trace-profiles", "trace-peaks", "trace-concentration", *MAPS} <= set(views(at))
    assert "delta method" in text(at)
    peaks = next(table.value for table in at.dataframe if "largest effect" in table.proto.alt)
    assert len(peaks) == 2 * (PROMPTS // 2)  # prompts without such a token are left out
    assert at.query_params["class"] == "middle subject"


def test_a_cell_that_is_clicked_says_what_it_is_worth(store):
    write_trace(store)
    at = page()
    at.session_state["trace-cell"] = (2, 5)
    at.run()
    assert f"**{values(at, MAPS[1])[2, 5]:+.3g}**" in text(at)
    at.button(key="trace-clear").click().run()
    assert "corrupted, 0.9 clean" not in text(at)


def test_the_subjects_tokens_are_shown_before_anything_runs(store):
    at = page()
    at.text_area(key="trace-new-prompt").set_value("The capital of South Korea is").run()
    assert "does not stand in the prompt" in at.error[0].value
    assert at.button(key="trace-start").disabled
    at.text_input(key="trace-new-subject").set_value("South Korea").run()
    assert not at.error
    chips = next(html.proto.body for html in at.get("html") if "Tokens of the prompt" in html.proto.body)
    strong = [part.split(">")[1].split("<")[0] for part in chips.split("<span")[1:] if "weight:600" in part]
    assert "".join(strong).split() == ["South", "Korea"]


def test_the_form_asks_for_every_state_and_corruption(asked):
    at = page()
    at.button(key="trace-start").click().run()
    assert "put into the queue" in at.error[0].value
    (first,) = asked
    assert first.trace is not None
    assert (first.ablation, first.trace.prompt, first.trace.subject) == (
        "optimal",
        "The capital of France is",
        "France",
    )


def test_wrong_settings_are_told_before_anything_is_asked_for(asked):
    at = page()
    at.multiselect(key="trace-new-states").set_value([]).run()
    at.button(key="trace-start").click().run()
    assert "at least one state" in at.error[0].value
    assert not asked


def test_runs_knows_traces_and_opens_them(store):
    run = write_trace(store, own=False)
    at = open_page("runs")
    at.session_state["runs-selected"] = [run]
    at.run()
    assert "probability" in json.dumps([str(table.value) for table in at.table])
    assert not at.button(key="runs-open").disabled


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.004, "0"),
        (0.25, ".25"),
        (-0.07, "−.07"),
        (1.0, "1.00"),
        (10.4, "10.4"),
        (-20.37, "−20.4"),
    ],
)
def test_numbers_in_cells(value, text):
    assert number_text(value) == text
