"""Methods on the Compare page: the chart, the table, and the way to the circuits."""

import numpy as np
import pandas as pd
from streamlit.testing.v1 import AppTest

from engine.instruments.discover.request import Discover
from tests.app.drawing import figure, open_page, text, views
from tests.app.fake_composite import write_fake_sweep


def page(**query: str) -> AppTest:
    return open_page("compare", **query)


def table(at: AppTest) -> pd.DataFrame:
    return next(frame.value for frame in at.dataframe if "rows can be selected" in frame.proto.alt)


def lines(at: AppTest) -> set[str]:
    return {t["name"] for t in figure(at, "compare-pareto")["data"] if t.get("mode") == "lines+markers"}


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
    rows = store.get(sweep).result.rows
    mine = [row.run for row in rows if (row.method, row.ablation) == ("ugs", "mean")]
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
    assert isinstance(request, Discover)
    assert (request.method, request.ablation, request.seed) == ("eap", "mean", 1)


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
    rows = [row for row in run.result.rows if (row.method, row.ablation) != ("ugs", "mean")]
    store.delete(run.run_id)
    result = run.result.model_copy(update={"rows": rows})
    sweep = store.write(run.request, {"schema": 1} | result.model_dump(mode="json"))
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
