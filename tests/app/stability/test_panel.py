"""The stability of a run on Explore: what was repeated is shown, or the button that repeats it."""

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from app.requests import stability_request
from app.runs import open_run
from app.stability.data import counts_of, edges_table, labels_of, spread_marks
from engine.instruments.stability.request import Stability, StabilityPlan
from engine.jobs.job import Job
from engine.runs.request import Request
from tests.app.drawing import figure, open_page, text, views
from tests.app.fake_composite import write_fake_stability
from tests.app.fake_run import write_fake_run

START = "stability-start"


def page(run: str, **query: str) -> AppTest:
    return open_page("", run=run, **query)


def table(at: AppTest, alt: str = "The circuit itself and its repeats") -> pd.DataFrame:
    return next(frame.value for frame in at.dataframe if alt in frame.proto.alt)


def keys(at: AppTest) -> set[str | None]:
    return {button.key for button in at.button}


@pytest.fixture
def asked(store, monkeypatch) -> list[Request]:
    """What is put into the queue, which shows every request as a job at work."""
    submitted: list[Request] = []

    def jobs(queue: object) -> list[Job]:
        fields = {"state": "running", "position": 0, "done": 1, "total": 5, "message": "2 of 7 done"}
        return [
            Job(job_id=one.run_id(), request=one, error=None, submitted=0.0, **fields) for one in submitted
        ]

    monkeypatch.setattr("app.requests.JobQueue.submit", lambda queue, request: submitted.append(request))
    monkeypatch.setattr("app.requests.JobQueue.jobs", jobs)
    return submitted


def test_a_run_that_was_not_repeated_has_the_button_that_does(store, asked):
    run = write_fake_run(store, seed=4)
    at = page(run)
    assert "How much of this circuit is chance?" in text(at)
    at.button(key=START).click().run()
    (request,) = asked
    assert isinstance(request, Stability)
    assert request.circuit == run
    assert request.stability == StabilityPlan(seeds=[5, 6, 7], folds=2)
    assert START not in keys(at), "it is at work"
    assert "2 of 7 done" in text(at)


def test_an_imported_circuit_cannot_be_repeated(store):
    at = page(write_fake_run(store, kind="import", circuit="ab" * 32))
    assert "cannot be repeated" in text(at)
    assert START not in keys(at)


def test_what_was_repeated_is_shown_beside_the_run(store):
    run = write_fake_run(store)
    stability = write_fake_stability(store, run)
    at = page(run)
    assert START not in keys(at)
    assert {"stability-spread", "stability-overlap", "stability-frequency"} < set(views(at))
    shown = table(at)
    assert list(shown["what"]) == [
        "this circuit",
        "seed 1",
        "seed 2",
        "seed 3",
        "without part 1",
        "without part 2",
        "this circuit on part 1",
        "this circuit on part 2",
    ]
    rows = shown.to_dict("records")
    assert [row["kl"] for row in rows[1:4]] == pytest.approx([0.03, 0.04, 0.05])
    assert [row["jaccard"] for row in rows[1:4]] == pytest.approx([0.65, 0.6, 0.55])
    assert rows[4]["held_out"] == "every name, every place"
    core, overlap, spread, held_out = at.metric[-4:]
    assert core.value == f"{store.get(stability).result.core} edges"
    assert overlap.delta == "0.05 by chance"
    assert spread.value == "0.03 – 0.05"
    assert (held_out.value, held_out.delta) == ("0.07", "this circuit on them 0.03")
    said = text(at)
    for part in (stability, "seeds 1, 2, 3, templates in 2 parts", "a note on all of them"):
        assert part in said


def test_its_metric_is_in_the_address(store):
    run = write_fake_run(store)
    write_fake_stability(store, run)
    at = page(run, **{"stability-metric": "faithfulness"})
    seeds = next(t for t in figure(at, "stability-spread")["data"] if t["name"] == "other seeds")
    assert seeds["x"] == pytest.approx([0.97, 0.96, 0.95])
    at.segmented_control(key="stability-metric").set_value("kl").run()
    assert "stability-metric" not in at.query_params
    assert page(run, **{"stability-metric": "x"}).segmented_control(key="stability-metric").value == "kl"


def test_of_several_the_one_in_the_address_is_shown(store):
    run = write_fake_run(store)
    other = store.get(write_fake_stability(store, run)).request
    plan = StabilityPlan(seeds=[8], folds=0)
    few = write_fake_stability(store, run, other.model_copy(update={"stability": plan}))
    at = page(run, stability=few)
    assert at.selectbox(key="stability").value == few
    assert list(table(at)["what"]) == ["this circuit", "seed 8"]
    assert at.query_params["stability"] == few
    at.selectbox(key="stability").set_value(other.run_id()).run()
    assert len(table(at)) == 8


def test_another_runs_repeats_are_not_shown(store):
    run, other = write_fake_run(store), write_fake_run(store, seed=1)
    write_fake_stability(store, run)
    at = page(other)
    assert START in keys(at)
    assert "stability-spread" not in views(at)


def test_what_failed_says_why_and_the_rest_is_shown(store):
    run = write_fake_run(store)
    result = store.get(write_fake_stability(store, run)).result.model_dump(mode="json")
    bad = {"seed": 9, "held_out": [], "run": "gone", "error": "out of <b>memory</b>"}
    bad_part = {"seed": 0, "held_out": ["every <b>thing</b>"], "run": "gone-too", "error": "no prompts"}
    request = stability_request(store.get(run), [9])
    changes = {"repeats": [*result["repeats"], bad], "folds": [bad_part, *result["folds"][:1]]}
    changes |= {name: result[name] for name in ("circuits", "jaccard")}
    again = write_fake_stability(store, run, request, **changes)
    at = page(run, stability=again)
    assert "2 of 8 repeats failed" in at.warning[0].value
    assert "out of <b>memory</b>" in set(table(at)["error"])


def test_a_run_without_frequencies_is_shown_without_them(store):
    run = write_fake_run(store)
    result = store.get(write_fake_stability(store, run)).result.model_dump(mode="json")
    request = stability_request(store.get(run), [1])
    bare = store.write(request, {"schema": 1} | result, {"frequency": np.ones(3, dtype=np.float32)})
    at = page(run, stability=bare)
    assert "stability-frequency" not in views(at)
    assert "stability-overlap" in views(at)


def test_edges_are_counted_and_listed_by_how_many_circuits_keep_them(store):
    opened = open_run(write_fake_run(store))
    run = store.get(write_fake_stability(store, opened.run.run_id))
    counts, edges = counts_of(opened, run), edges_table(opened, run)
    assert counts is not None
    assert edges is not None
    assert len(counts) == len(run.result.circuits)
    assert counts[-1] == run.result.core
    assert sum(counts) == len(edges) == int((run.tensors["frequency"] > 0).sum())
    shares = edges["share"].tolist()
    assert shares == sorted(shares, reverse=True)
    mine = set(np.array(opened.graph.edge_names)[opened.circuit(opened.size).kept])
    assert set(edges.query("here")["name"]) <= mine


def test_circuits_have_names_that_tell_them_apart(store):
    opened = open_run(write_fake_run(store))
    result = store.get(write_fake_stability(store, opened.run.run_id)).result
    labels = labels_of(result, opened.run.run_id)
    names = [labels[run_id] for run_id in result.circuits]
    assert names == ["this circuit", "seed 1", "seed 2", "seed 3", "without part 1", "without part 2"]
    lines = [mark.line for mark in spread_marks(opened.run.result.summary, result, "kl")]
    assert lines.count("held-out part 1") == 2
