"""The dashboard's benches do what they say, and fail where a page fails. Nothing here is about time."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app import bench
from engine.errors import CircuitExplorerError

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def fresh_caches() -> Iterator[None]:
    """A bench has a process of its own; these share one, and its caches."""
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


def test_the_figure_has_at_least_300_edges():
    with bench.figure_300_edges() as once:
        traces = json.loads(str(once()))["data"]
    handles = next(trace for trace in traces if trace.get("name") == "handles")
    assert 300 <= len(handles["meta"]["edges"]) < 330


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The run and the size of every page that a bench draws."""
    seen = []
    draw = bench._draw

    def watched(page: AppTest) -> AppTest:
        draw(page)
        seen.append((page.selectbox(key="run").value, page.metric[0].value))
        return page

    monkeypatch.setattr(bench, "_draw", watched)
    return seen


@pytest.mark.parametrize(
    ("slide", "edges"), [(bench.slider_to_picture, "32,491"), (bench.slider_to_picture_demo, "1,519")]
)
def test_the_slider_draws_another_size_of_the_same_run(drawn, slide, edges):
    with slide() as once:
        once()
        once()
    (first, _), *others = drawn
    assert {run for run, _ in others} == {first}
    assert len({size for _, size in others}) == 2
    assert all(size.endswith(f"of {edges}") for _, size in drawn)


@pytest.mark.parametrize("open_others", [bench.open_another_run, bench.open_another_run_demo])
def test_another_run_is_opened_every_time(drawn, open_others):
    with open_others() as once:
        once()
        once()
    (first, _), (second, _), (third, _) = drawn
    assert first != second != third


def test_a_first_page_comes_out_of_a_server_of_its_own():
    with bench.first_page() as once:
        once()


def test_a_server_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(bench, "APP", tmp_path)
    with bench.first_page() as once, pytest.raises(CircuitExplorerError, match="does not start"):
        once()


def test_a_page_that_fails_is_no_measurement():
    def failing() -> None:
        from app.errors import show_unforeseen

        show_unforeseen(ZeroDivisionError("no page"))

    with pytest.raises(CircuitExplorerError, match="no page"):
        bench._draw(AppTest.from_function(failing))
