"""The wiring of the page "Lens"; what is clicked is tested in browser/."""

import pytest
from streamlit.testing.v1 import AppTest

from app.panels.lens_data import reading_key
from engine.lenses.base import LENSES
from tests.app.drawing import figure, open_page, text, views
from tests.app.fake_lens import LAYERS, TEXTS, TOKENS, write_reading, write_training


def page(**query: str) -> AppTest:
    return open_page("lens", **query)


def test_without_readings_the_page_says_what_to_do(store):
    at = page()
    assert "press **Read**" in at.info[0].value


@pytest.mark.parametrize(
    ("view", "pictures"),
    [
        ("one", {"lens-table"}),
        ("two", {"lens-table-first", "lens-table-second", "lens-difference"}),
        ("race", {"lens-race"}),
        ("texts", {"lens-kl"}),
        ("faithfulness", {"lens-direction", "lens-magnitude"}),
    ],
)
def test_every_view_is_drawn_from_its_address_with_a_table(store, view, pictures):
    trained = write_training(store)
    run = write_reading(store, trained=trained)
    at = page(view=view)
    assert pictures <= set(views(at))
    assert all(drawn["alt"] for drawn in views(at).values())
    assert (trained if view in ("texts", "faithfulness") else run) in text(at)
    assert at.query_params.get("view", ["one"]) in (view, [view])
    assert [box for box in at.expander if box.label == "As a table"]


def test_the_table_has_a_row_for_every_layer_and_the_output_on_top(store):
    write_reading(store)
    at = page(lens="tuned", statistic="entropy")
    heat = figure(at, "lens-table")["data"][0]
    assert len(heat["text"]) == LAYERS + 1
    assert {len(row) for row in heat["text"]} == {len(TOKENS)}
    assert figure(at, "lens-table")["layout"]["yaxis"]["ticktext"][-1] == "output"
    assert "Seoul" in heat["customdata"][0][0] or "font-family:monospace" in heat["customdata"][0][0]
    assert "Entropy" in heat["colorbar"]["title"]["text"]


def test_words_are_followed_or_those_on_top(store):
    run, other = write_reading(store, words=(" Seoul", " Tokyo")), write_reading(store, "another text")
    keys = [reading_key(store.get(one).request) for one in (run, other)]
    at = page(view="race", subject=keys[0])
    assert [trace["name"] for trace in figure(at, "lens-race")["data"]] == ["Seoul", "Tokyo"]
    at = page(view="race", subject=keys[1])
    assert other in text(at)
    assert "words on top" in text(at)


def test_all_lenses_are_shown_over_texts_with_their_parameters(store):
    write_training(store)
    write_reading(store)
    at = page(view="texts")
    lines = [trace for trace in figure(at, "lens-kl")["data"] if trace.get("name")]
    assert len(lines) == len(LENSES)
    assert f"{TEXTS} texts" in text(at)
    assert "4,000" in text(at)


def test_lenses_without_a_test_of_faithfulness_say_so(store):
    write_training(store, faithful=False)
    write_reading(store)
    assert "without a test" in page(view="faithfulness").info[0].value


def test_the_form_asks_for_what_was_typed(asked):
    at = page()
    at.text_area(key="lens-new-text").set_value("The capital of France is")
    at.text_input(key="lens-new-words").set_value("Paris, Rome")
    at.text_input(key="lens-new-ablated").set_value("a2.h3, m1")
    at.button(key="lens-start").click().run()
    assert "put into the queue" in at.error[0].value
    (request,) = asked
    assert request.lens is not None
    assert (request.lens.words, request.lens.ablated) == ([" Paris", " Rome"], ["a2.h3", "m1"])


def test_a_text_that_is_changed_while_it_runs_is_called_so(store):
    write_reading(store, ablated=["a2.h3"])
    assert "without a2.h3 (mean)" in page().title[0].value.replace("\\", "")


def test_runs_knows_readings_and_trained_lenses_and_opens_readings(store):
    runs = [write_training(store), write_reading(store)]
    for run, opens in zip(runs, (False, True), strict=True):
        at = open_page("runs")
        at.session_state["runs-selected"] = [run]
        at.run()
        assert not at.exception
        assert at.button(key="runs-open").disabled != opens
