"""The form for a comparison of methods, and what it starts."""

import pytest
from streamlit.testing.v1 import AppTest

from app.sweep.form import seeds_of
from engine.errors import RequestError
from engine.instruments.sweep.request import Sweep
from tests.app.drawing import open_page, text
from tests.app.fake_composite import write_fake_sweep
from tests.app.fake_run import write_fake_run


def page(**query: str) -> AppTest:
    return open_page("compare", **query)


def test_without_a_comparison_the_page_says_what_to_do_and_has_the_form(store):
    write_fake_run(store)
    at = page(view="methods")
    assert "Compare methods" in at.info[0].value
    assert at.button(key="sweep-start")
    assert "9 discoveries: 3 methods × 1 ablation × 1 task × 3 seeds." in text(at)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("0, 1, 2", [0, 1, 2]), ("3", [3]), ("0-3", [0, 1, 2, 3]), ("1 4 – 5; 4", [1, 4, 5])],
)
def test_seeds_are_numbers_and_ranges(written, meant):
    assert seeds_of(written) == meant


@pytest.mark.parametrize("written", ["", "a", "1.5", "-1", "5-2", "0-99", "1,,x"])
def test_what_names_no_seeds_is_refused(written):
    with pytest.raises(RequestError):
        seeds_of(written)


def test_the_form_starts_a_comparison_and_shows_it_when_it_is_done(store, asked):
    at = page(view="methods")
    at.multiselect(key="sweep-methods").set_value(["eap", "edge-pruning"])
    at.multiselect(key="sweep-ablations").set_value(["mean", "optimal"])
    at.text_input(key="sweep-seeds").set_value("0-1")
    at.number_input(key="sweep-prompts").set_value(40).run()
    assert "8 discoveries: 2 methods × 2 ablations × 1 task × 2 seeds." in text(at)
    assert "2 runs of every node's importance" in text(at)
    at.number_input(key="sweep-set-edge-pruning-steps").set_value(60)
    at.button(key="sweep-start").click().run()
    assert not at.exception
    (request,) = asked
    assert isinstance(request, Sweep)
    assert (request.sweep.methods, request.sweep.seeds) == (["eap", "edge-pruning"], [0, 1])
    assert request.sweep.settings == {"edge-pruning": {"steps": 60}}
    assert request.n_prompts == 40


def test_a_comparison_that_is_done_is_shown(store):
    write_fake_sweep(store)
    at = page(view="methods")
    newer = write_fake_sweep(store, seeds=(7,))
    at.session_state["sweep-awaited"] = newer
    at.run()
    assert at.selectbox(key="compare-sweep").value == newer
    assert "sweep-awaited" not in at.session_state


def test_a_form_that_lacks_something_says_so(store, asked):
    at = page(view="methods")
    at.multiselect(key="sweep-methods").set_value([]).run()
    at.button(key="sweep-start").click().run()
    assert "at least one of the methods" in at.error[0].value
    assert not asked
