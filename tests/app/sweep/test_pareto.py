"""Methods on the Compare page: the chart's lines, the table, the form, and the way to the circuits."""

import json

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from app.figures.style import LIGHT
from app.runs import shelf
from app.sweep.form import seeds_of
from app.sweep.lines import curves_of, lines_of, split_key, tidy
from app.sweep.panel import sweeps
from app.sweep.paper import published, published_curves
from app.sweep.table import frame
from engine.errors import RequestError
from engine.runs.request import Request
from tests.app.drawing import figure, open_page, text, views
from tests.app.fake_composite import GRAPH, SIZES, write_fake_sweep
from tests.app.fake_run import write_fake_run


def page(**query: str) -> AppTest:
    return open_page("compare", **query)


def table(at: AppTest) -> pd.DataFrame:
    return next(frame.value for frame in at.dataframe if "rows can be selected" in frame.proto.alt)


def lines(at: AppTest) -> set[str]:
    return {t["name"] for t in figure(at, "compare-pareto")["data"] if t.get("mode") == "lines+markers"}


@pytest.fixture
def asked(store, monkeypatch) -> list[Request]:
    """What is put into the queue."""
    submitted: list[Request] = []

    def submit(queue: object, request: Request) -> str:
        submitted.append(request)
        return request.run_id()

    monkeypatch.setattr("app.requests.JobQueue.submit", submit)
    return submitted


def test_without_a_comparison_the_page_says_what_to_do_and_has_the_form(store):
    write_fake_run(store)
    at = page(view="methods")
    assert "Compare methods" in at.info[0].value
    assert at.button(key="sweep-start")
    assert "9 discoveries: 3 methods × 1 ablation × 1 task × 3 seeds." in text(at)


def test_circuits_stay_what_the_page_shows_at_first(store):
    write_fake_sweep(store)
    at = page()
    assert at.segmented_control(key="compare-view").value == "circuits"
    assert "compare-pareto" not in views(at)


def test_a_sweep_is_shown_with_its_lines_table_and_provenance(store):
    sweep = write_fake_sweep(store)
    at = page(sweep=sweep)
    assert at.segmented_control(key="compare-view").value == "methods"
    assert {"EAP, Counterfactual", "EAP, Mean (per position)", "Random, Mean (per position)"} < lines(at)
    shown = table(at)
    assert list(shown["method"]) == ["EAP", "UGS", "Random"] * 2
    assert list(shown["ablation"]) == ["Counterfactual"] * 3 + ["Mean (per position)"] * 3
    assert set(shown["seeds"]) == {"0, 1"}
    assert "failed" not in shown
    said = text(at)
    for part in (sweep, "200 prompts of the test split", "seeds 0, 1", "a note on all of them"):
        assert part in said
    assert (at.query_params["view"], at.query_params["sweep"]) == ("methods", sweep)
    assert len(list(at.query_params)) == 2


def test_means_and_ranges_are_over_the_seeds(store):
    run = store.get(write_fake_sweep(store, seeds=(0, 1, 2)))
    rows = run.result["rows"]
    line = lines_of(rows, "ioi", GRAPH.n_edges)[0]
    values = [row["points"][1]["kl"]["mean"] for row in rows if row["method"] == "eap"][:3]
    spot = line.spots("kl")[1]
    assert spot.value == pytest.approx(sum(values) / 3)
    assert (spot.low, spot.high) == (min(values), max(values))
    assert spot.share == pytest.approx(spot.edges / GRAPH.n_edges)
    assert split_key(spot.key) == (line.key, SIZES[1])
    row = frame([line], SIZES[1]).iloc[0]
    assert (row["kl"], row["edges"]) == (pytest.approx(spot.value), spot.edges)


def test_one_seed_alone_has_the_interval_over_prompts(store):
    run = store.get(write_fake_sweep(store, seeds=(4,)))
    row = run.result["rows"][0]
    spot = lines_of(run.result["rows"], "ioi", GRAPH.n_edges)[0].spots("kl")[0]
    assert [spot.low, spot.high] == row["points"][0]["kl"]["ci95"]


def test_a_size_at_which_faithfulness_is_undefined_is_left_out(store):
    rows = json.loads(json.dumps(store.get(write_fake_sweep(store)).result["rows"]))
    rows[0]["points"][2]["faithfulness"] = {"mean": None, "ci95": [None, None], "n": 200}
    line = lines_of(rows, "ioi", GRAPH.n_edges)[0]
    assert len(line.spots("kl")) == len(SIZES)
    assert [split_key(spot.key)[1] for spot in line.spots("faithfulness")] == [*SIZES[:2], SIZES[3]]


def test_what_failed_is_named_and_the_others_are_shown(store):
    at = page(sweep=write_fake_sweep(store, failed=[("ugs", 0), ("ugs", 1), ("eap", 1)]))
    assert "6 of 12 discoveries failed" in at.warning[0].value
    shown = table(at).to_dict("records")
    failed = {row["method"]: row["failed"] for row in shown if row["ablation"] == "Counterfactual"}
    assert failed["EAP"] == "1 of 2: eap found <b>nothing</b>"
    ugs = [row for row in shown if row["method"] == "UGS"]
    assert all(np.isnan(row["kl"]) for row in ugs)
    assert {row["ablation"] for row in ugs} == {"Counterfactual", "Mean"}


def test_filters_are_in_the_address_and_keep_the_colours(store):
    sweep = write_fake_sweep(store)
    every = figure(page(sweep=sweep), "compare-pareto")
    at = page(sweep=sweep, methods="ugs", ablations="mean")
    assert lines(at) >= {"UGS, Mean (per position)"}
    assert not any(name.startswith("EAP") for name in lines(at))

    def looks(drawn: dict) -> tuple[str, str]:
        line = next(t for t in drawn["data"] if t.get("name") == "UGS, Mean (per position)")["line"]
        return line["color"], line["dash"]

    assert looks(figure(at, "compare-pareto")) == looks(every)
    assert len(table(at)) == 1
    at.multiselect(key="compare-methods").set_value([]).run()
    assert len(table(at)) == 3
    assert "methods" not in at.query_params


def test_tasks_are_chosen_one_at_a_time(store):
    at = page(sweep=write_fake_sweep(store, tasks=("ioi", "facts")), task="facts")
    assert "Facts" in text(at)
    assert at.toggle(key="compare-paper").disabled
    assert not page(sweep=write_fake_sweep(store)).toggle(key="compare-paper").disabled


def test_the_paper_is_laid_under_what_is_shown_and_called_another_model(store):
    at = page(sweep=write_fake_sweep(store), paper="1", ablations="counterfactual")
    names = {t["name"] for t in figure(at, "compare-pareto")["data"]}
    assert "UGS, Counterfactual: paper, GPT-2 small" in names
    assert not any("Mean" in name for name in names if "paper" in name)
    assert "another model" in text(at)
    assert "order of the methods" in text(at)
    assert any("Published circuits" in frame.proto.alt for frame in at.dataframe)


def test_the_published_points_are_all_there():
    rows = published()
    assert len(rows) == 315
    curves = published_curves("ioi", lambda row: row["ablation"] == "optimal", [], LIGHT)
    assert {curve.method for curve in curves} == {"UGS", "HCGS", "ACDC", "EAP", "by hand"}
    assert {curve.ablation for curve in curves} == {"Optimal (shared)"}
    ugs = next(curve for curve in curves if curve.method == "UGS")
    least = min(ugs.spots, key=lambda spot: spot.edges)
    assert (least.edges, round(least.value, 4)) == (8, 0.3732)
    assert least.share == pytest.approx(8 / 32_491)
    by_hand = next(curve for curve in curves if curve.method == "by hand")
    assert [spot.edges for spot in by_hand.spots] == [963]


def test_two_conditionings_are_marked(store):
    at = page(sweep=write_fake_sweep(store, ablations=("mean", "optimal")))
    assert "Two conditionings in one chart" in text(at)
    drawn = figure(at, "compare-pareto")["data"]
    dashes = {t["name"]: t["line"]["dash"] for t in drawn if t.get("name", "").startswith("EAP, ")}
    assert set(dashes) == {"EAP, Mean (per position)", "EAP, Optimal (shared)"}
    assert len(set(dashes.values())) == 2
    assert "Two conditionings" not in text(page(sweep=write_fake_sweep(store, ablations=("mean", "zero"))))


def test_a_line_that_is_selected_leads_to_its_circuits(store, monkeypatch):
    sweep = write_fake_sweep(store)
    at = page(sweep=sweep, line="ugs,mean", at="76")
    assert "UGS, Mean \\(per position\\)" in text(at)
    rows = store.get(sweep).result["rows"]
    mine = [row["run"] for row in rows if (row["method"], row["ablation"]) == ("ugs", "mean")]
    at.selectbox(key="compare-seed").set_value(1)
    at.button(key="compare-seeds").click().run()
    assert at.segmented_control(key="compare-view").value == "circuits"
    assert at.multiselect(key="compare-runs").value == mine
    assert at.select_slider(key="compare-edges").value == 76


def test_runs_that_are_not_here_are_made_again(store, asked):
    at = page(sweep=write_fake_sweep(store, runs=False), line="eap,mean")
    assert not [button for button in at.button if button.key == "compare-open"]
    at.selectbox(key="compare-seed").set_value(1).run()
    at.button(key="compare-make").click().run()
    (request,) = asked
    assert (request.kind, request.method, request.ablation, request.seed) == ("discover", "eap", "mean", 1)


def test_what_failed_with_every_seed_has_no_circuit(store):
    at = page(sweep=write_fake_sweep(store, failed=[("eap", 0), ("eap", 1)]), line="eap,mean")
    assert "no circuit to open" in text(at)


def test_of_very_many_lines_those_of_the_first_ablation_are_shown_at_first(store):
    methods = ("eap", "eap-ig", "ugs", "hcgs", "acdc", "random")
    sweep = write_fake_sweep(store, methods=methods, runs=False)
    at = page(sweep=sweep)
    assert len(table(at)) == 6
    assert "ablations" not in at.query_params
    at.multiselect(key="compare-ablations").set_value([]).run()
    assert len(table(at)) == 12
    assert at.query_params["ablations"] == ""
    assert len(table(page(sweep=sweep, ablations=""))) == 12


def test_filters_that_leave_nothing_say_so(store):
    run = store.get(write_fake_sweep(store))
    rows = [row for row in run.result["rows"] if (row["method"], row["ablation"]) != ("ugs", "mean")]
    store.delete(run.run_id)
    sweep = store.write(run.request, run.result | {"rows": rows})
    at = page(sweep=sweep, methods="ugs", ablations="mean")
    assert "Nothing of these was measured" in at.info[0].value
    assert "compare-pareto" not in views(at)
    at.multiselect(key="compare-methods").set_value([]).run()
    assert len(table(at)) == 2


def test_an_address_with_nonsense_shows_the_first_sweep(store):
    sweep = write_fake_sweep(store)
    at = page(sweep="gone", view="methods", task="x", methods="none", at="-5", line="a,b", unit="mile")
    assert "There is no comparison 'gone' here" in at.warning[0].value
    assert at.selectbox(key="compare-sweep").value == sweep
    assert len(table(at)) == 6


def test_everything_is_exported_with_intervals_and_prices(store):
    run = store.get(write_fake_sweep(store, failed=[("eap", 0)]))
    found = tidy(run.result["rows"], GRAPH.n_edges)
    points, path = found[found["edges_requested"].notna()], found[found["penalty"].notna()]
    failed = found[found["error"].notna()]
    assert len(points) == 10 * len(SIZES)
    assert len(path) == 2 * 2 * 2
    assert set(path["method"]) == {"ugs"}
    assert len(failed) == 2
    assert np.all(points["kl_low"] < points["kl"])
    assert set(found["edges_total"]) == {GRAPH.n_edges}


def test_baseline_is_grey_and_methods_have_colours_of_their_own(store):
    rows = store.get(write_fake_sweep(store)).result["rows"]
    all_lines = lines_of(rows, "ioi", GRAPH.n_edges)
    curves = curves_of(all_lines, all_lines, "kl", LIGHT)
    colours = {curve.method: curve.colour for curve in curves}
    assert colours["Random"] == LIGHT.muted
    assert len(set(colours.values())) == 3
    assert [curve.baseline for curve in curves if curve.method == "Random"] == [True, True]
    assert [len(curve.path) for curve in curves if curve.method == "UGS"] == [4, 4]


def test_sweeps_are_listed_shipped_ones_first(store):
    first, second = write_fake_sweep(store), write_fake_sweep(store, seeds=(5,))
    assert set(sweeps(shelf())) == {first, second}


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
    assert request.kind == "sweep"
    assert request.sweep is not None
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
