"""Every kind of run is opened from Runs, on the page that shows it."""

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from app.views import pages
from engine.instruments.base import instruments
from engine.runs.kinds import make_request
from engine.runs.store import RunStore
from tests.app.drawing import open_page, text
from tests.app.fake_composite import write_fake_stability, write_fake_sweep
from tests.app.fake_importance import write_importance
from tests.app.fake_lens import write_reading, write_training
from tests.app.fake_run import write_fake_answer, write_fake_run
from tests.app.fake_trace import write_trace

Writer = Callable[[RunStore], str]


def measured(store: RunStore, *runs: str, ablation: str) -> str:
    circuits = [{"name": f"c{i}", "parts": [{"run": run, "edges": 300}]} for i, run in enumerate(runs)]
    fields = {"model": "explorer-4l", "task": "ioi", "circuits": circuits}
    return write_fake_answer(store, make_request("measure", ablation=ablation, **fields))


def evaluation(store: RunStore) -> str:
    own = write_fake_run(store)
    return write_fake_run(store, kind="evaluate", circuit=own, ablation="mean")


def measurement(store: RunStore) -> str:
    return measured(store, write_fake_run(store), ablation="mean")


def measurement_of_two(store: RunStore) -> str:
    runs = [write_fake_run(store, seed=seed) for seed in (0, 1)]
    return measured(store, *runs, ablation="counterfactual")


def imported(store: RunStore) -> str:
    return write_fake_run(store, kind="import", circuit="ab" * 32)


WRITERS: dict[str, tuple[str, Writer, str]] = {
    "discovery": ("discover", write_fake_run, "explore"),
    "import": ("import", imported, "explore"),
    "evaluation": ("evaluate", evaluation, "explore"),
    "measurement": ("measure", measurement, "explore"),
    "measurement of two": ("measure", measurement_of_two, "compare"),
    "importance": ("importance", lambda store: write_importance(store, "mean"), "ablations"),
    "sweep": ("sweep", lambda store: write_fake_sweep(store, runs=False), "compare"),
    "stability": ("stability", lambda store: write_fake_stability(store, write_fake_run(store)), "explore"),
    "trace": ("trace", write_trace, "trace"),
    "training": ("train-lenses", write_training, "lens"),
    "reading": ("lens", write_reading, "lens"),
}


def opened(store: RunStore, run: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, AppTest]:
    """Open a run from Runs; return the path of the page that leads to, and the page."""
    at = open_page("runs", kind=store.get(run).request.kind, selected=run)
    to: list[tuple[str, dict[str, str]]] = []
    with monkeypatch.context() as patch:
        patch.setattr(
            "app.runs_page.actions.st.switch_page", lambda page, query_params: to.append((page, query_params))
        )
        at.button(key="runs-open").click().run()
    [(script, query)] = to
    path = next(page.path or page.folder for page in pages() if page.script == script)
    return path, open_page("" if path == "explore" else path, **query)


def test_every_instrument_is_tried():
    assert {kind for kind, _, _ in WRITERS.values()} == set(instruments.names())


@pytest.mark.parametrize("name", WRITERS)
def test_it_opens_on_the_page_that_shows_it(name, store, monkeypatch):
    kind, write, where = WRITERS[name]
    run = write(store)
    assert store.get(run).request.kind == kind
    path, at = opened(store, run, monkeypatch)
    assert path == where
    assert not at.exception
    assert not [warning.value for warning in at.warning if "here" in warning.value]
    for key, value in at.query_params.items():
        assert value, key


@pytest.mark.parametrize("ablation", ["mean", "optimal"])
def test_an_importance_run_opens_under_its_own_ablation(ablation, store, monkeypatch):
    runs = {name: write_importance(store, name) for name in ("mean", "optimal")}
    _, at = opened(store, runs[ablation], monkeypatch)
    assert at.session_state["ablations-ablation"].startswith(ablation)


def test_a_measurement_opens_the_circuit_of_its_size_under_its_ablation(store, monkeypatch):
    _, at = opened(store, measurement(store), monkeypatch)
    assert (at.query_params["edges"], at.query_params["under"]) == ("300", "mean")


def test_trained_lenses_open_with_what_they_came_to_and_lead_back_to_texts(store, monkeypatch):
    run = write_training(store)
    write_reading(store)
    _, at = opened(store, run, monkeypatch)
    assert "trained for" in at.title[0].value
    assert at.query_params["trained"] == run
    assert run in text(at)
    at.button(key="lens-to-texts").click().run()
    assert not at.exception
    assert "trained" not in at.query_params
    assert "trained for" not in at.title[0].value
