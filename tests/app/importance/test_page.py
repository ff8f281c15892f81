"""The wiring of the page "Ablations"; what is drawn is tested in figures/, what is clicked in browser/."""

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from app.importance.data import Measured, Subject, component, measured_of, subject_key, subjects
from app.importance.figures.ratios import PAPER
from app.importance.pairs import first_pair
from app.importance.ratios import against, paper_median, summary, verdicts
from app.importance.tables import tidy
from app.requests import importance_by_default, importance_request
from app.runs import shelf
from engine.ablations.base import ablations
from engine.circuits.graph import Graph
from engine.experiments import completed
from engine.instruments.importance.request import Importance
from engine.runs.request import Request
from engine.runs.store import RunStore
from tests.app.drawing import figure, open_page, text, views
from tests.app.fake_importance import HISTORY, PROMPTS, write_importance, write_subject

GRAPH = Graph(4, 8)
SHARED = {"conditioning": "shared"}
VIEWS = {
    "bars": "ablations-bars",
    "prompts": "ablations-prompts",
    "pairs": "ablations-scatter",
    "ratios": "ablations-ratios",
    "training": "ablations-training",
}


def page(**query: str) -> AppTest:
    return open_page("ablations", **query)


def only_subject() -> tuple[Subject, Measured]:
    (subject,) = subjects(shelf(), []).values()
    return subject, measured_of(subject)


def table(at: AppTest, alt: str) -> pd.DataFrame:
    return next(frame.value for frame in at.dataframe if alt in frame.proto.alt)


def options(at: AppTest, key: str) -> list[str]:
    return list(at.selectbox(key=key).options)


@pytest.fixture
def four(store) -> dict[str, str]:
    """Runs of four ablations, the optimal one with its training."""
    return write_subject(store)


@pytest.fixture
def asked(store, monkeypatch) -> list[Request]:
    """What is put into the queue."""
    submitted: list[Request] = []
    monkeypatch.setattr("app.requests.JobQueue.submit", lambda queue, request: submitted.append(request))
    return submitted


def test_without_runs_the_page_says_what_to_do(store):
    at = page()
    assert "press **Measure**" in at.info[0].value


def test_a_first_visitor_sees_the_demo_model_on_its_first_task():
    at = page()
    assert at.title[0].value.endswith("explorer-4l · Indirect objects")
    assert {"ablations-grid", "ablations-component", "ablations-bars"} <= set(views(at))
    assert "importance-explorer-4l-ioi-mean-872bef8b" in text(at)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_drawn_from_its_address_with_table_and_provenance(four, view):
    at = page(view=view, select="a1.h2")
    assert VIEWS[view] in views(at)
    assert at.segmented_control(key="ablations-view").value == view
    assert all(drawn["alt"] for drawn in views(at).values())
    assert len(at.expander) >= 4  # the words on Δ, and a table for each of grid, component and view
    shown = text(at)
    for name, run in four.items():
        assert (run in shown) == (view != "training" or name == "optimal")
    assert at.query_params.get("view", "bars") == view


def test_the_grid_shows_every_component_of_the_ablation_chosen(four):
    at = page(ablation="zero")
    traces = {trace["name"]: trace for trace in figure(at, "ablations-grid")["data"]}
    ids = {node for trace in traces.values() for row in trace["customdata"] for node in row if node}
    assert ids == set(GRAPH.sources)
    assert len(table(at, "What each component costs under zero")) == len(GRAPH.sources)
    assert at.query_params["ablation"] == "zero"
    at.selectbox(key="ablations-ablation").select("mean").run()
    assert len(table(at, "What each component costs under mean (per position)")) == len(GRAPH.sources)


def test_the_component_selected_is_shown_under_every_ablation(four):
    at = page(select="a1.h2")
    assert "a1.h2" in [heading.value for heading in at.subheader]
    names = [trace["name"] for trace in figure(at, "ablations-component")["data"]]
    assert names == ["counterfactual", "mean (per position)", "optimal (per position)", "zero"]
    at.button(key="ablations-clear").click().run()
    _, measured = only_subject()
    strongest = measured.strongest(measured.by_key["optimal"], 1)[0]
    assert strongest in [heading.value for heading in at.subheader]
    assert "select" not in at.query_params


def test_several_selected_stand_side_by_side_and_else_those_that_cost_most(four):
    at = page(select="a1.h2,m3,nonsense,a9.h9")
    assert figure(at, "ablations-bars")["data"][0]["customdata"] == ["a1.h2", "m3"]
    at = page(top="5", select="a1.h2")
    _, measured = only_subject()
    strongest = measured.strongest(measured.by_key["optimal"], 5)
    nodes = figure(at, "ablations-bars")["data"][0]["customdata"]
    assert nodes[:5] == strongest
    assert set(nodes) == {*strongest, "a1.h2"}


def test_the_input_is_shown_apart_and_compared_with_nothing(four):
    _, measured = only_subject()
    assert measured.nodes()[0] == "input"
    assert "input" not in measured.components
    assert len(measured.components) == len(GRAPH.sources) - 1
    assert component("input") is None
    at = page(select="input")
    assert "input" in [heading.value for heading in at.subheader]


def test_nothing_of_an_address_that_makes_no_sense_breaks_the_page(four):
    at = page(ablation="nonsense", view="nonsense", top="7", x="a", y="b", optimal="c", trained="d")
    assert at.segmented_control(key="ablations-view").value == "bars"
    assert set(at.query_params) == set()


def test_ablations_that_are_missing_are_offered_as_jobs(four, asked):
    at = page()
    lacking = sorted(set(ablations.names()) - set(four))
    assert all(name in text(at) for name in lacking)
    at.button(key="ablations-measure-missing").click().run()
    assert [request.ablation for request in asked] == lacking
    subject, _ = only_subject()
    assert {subject_key(request) for request in asked} == {subject.key}
    assert {request.kind for request in asked} == {"importance"}


def test_a_shared_run_does_not_change_what_is_asked_for_by_default(store):
    write_importance(store, "mean", settings=SHARED)
    subject, _ = only_subject()
    assert importance_by_default(subject.request, "mean").ablation_settings == {
        "conditioning": "per position"
    }


def test_requests_by_default_are_complete_and_those_of_the_explore_page(tmp_path):
    shipped = RunStore(tmp_path / "runs")
    origin = shipped.get("edge-pruning-explorer-4l-ioi-counterfactual-bbf0d8c6")
    for name in ("zero", "mean"):
        request = importance_by_default(origin.request, name)
        assert completed(request, shipped) == request
        assert request.run_id() == importance_request(origin, name).run_id()


def test_other_prompts_are_another_subject(store):
    write_subject(store, "mean", "zero")
    write_importance(store, "mean", seed=1)
    there = subjects(shelf(), [])
    assert sorted(len(subject.runs) for subject in there.values()) == [1, 2]
    labels = [subject.label for subject in there.values()]
    assert sorted(labels) == ["fake-4l · Indirect objects · seed 0", "fake-4l · Indirect objects · seed 1"]
    second = next(key for key, subject in there.items() if "seed 1" in subject.label)
    at = page(subject=second)
    assert "seed 1" in at.title[0].value


def test_a_subject_that_is_being_measured_is_there_before_its_first_run(store):
    request = Importance(model="fake-4l", task="facts", ablation="mean")
    ((key, subject),) = subjects(shelf(), [request]).items()
    assert key == subject_key(request)
    assert subject.runs == ()


def test_a_subject_that_is_gone_is_named(four):
    at = page(subject="gone-for-ever-12345678")
    assert "gone" in at.warning[0].value
    assert "fake-4l" in at.title[0].value


def test_both_conditionings_are_named_and_warned_of(store, four):
    write_importance(store, "optimal", settings=SHARED)
    _, measured = only_subject()
    assert [series.name for series in measured.series if series.ablation == "optimal"] == [
        "optimal (per position)",
        "optimal (shared)",
    ]
    for view in ("bars", "prompts", "pairs", "ratios"):
        at = page(view=view, optimal=measured.series[-2].key)
        assert any("Two conditionings in one chart" in warning.value for warning in at.warning), view


def test_zero_and_what_has_no_constant_are_of_neither_conditioning(store, four):
    """Zero's constant is series for all positions by nature."""
    at = page()
    assert not at.warning
    _, measured = only_subject()
    assert {series.name: series.conditioning for series in measured.series} == {
        "counterfactual": None,
        "mean (per position)": "per position",
        "optimal (per position)": "per position",
        "zero": None,
    }


def test_runs_that_differ_in_other_settings_are_told_apart(store, four):
    write_importance(store, "optimal", settings={"steps": 20})
    _, measured = only_subject()
    names = [series.name for series in measured.series if series.ablation == "optimal"]
    assert names[1] == "optimal (per position), steps 20"
    assert len(set(names)) == 2
    keys = [series.key for series in measured.series if series.ablation == "optimal"]
    assert keys[0] == "optimal"
    at = page(view="training", trained=keys[1])
    assert at.selectbox(key="ablations-trained").value == keys[1]


def test_two_ablations_are_compared_with_all_others_in_a_matrix(four):
    at = page(view="pairs", x="zero", y="mean")
    assert options(at, "ablations-x") == options(at, "ablations-y")
    scatter = table(at, "What every component costs under zero and under mean")
    assert len(scatter) == len(GRAPH.sources) - 1
    pairs = table(at, "How far every two ablations agree")
    assert len(pairs) == 6
    assert all(
        value <= high + 1e-9 for value, high in zip(pairs["Spearman"], pairs["Spearman high"], strict=True)
    )
    assert set(pairs["components"]) == {len(GRAPH.sources) - 1}
    assert "Spearman **" in text(at)
    assert "36 components" in text(at)


def test_an_ablation_against_itself_has_one_column(four):
    at = page(view="pairs", x="zero", y="zero")
    assert list(table(at, "What every component costs under zero")) == ["component", "zero"]


def test_the_first_pair_is_of_two_ablations(store):
    write_subject(store, "optimal", "mean")
    _, measured = only_subject()
    assert first_pair(measured) == ("mean", "optimal")


def test_one_ablation_alone_asks_for_another(store):
    write_importance(store, "optimal")
    for view in ("pairs", "ratios"):
        at = page(view=view)
        assert any("another" in info.value.lower() for info in at.info)


def test_ratios_say_whichever_way_they_come_out(store, four):
    write_importance(store, "optimal", settings=SHARED, scale=2.0)
    _, measured = only_subject()
    others = [series for series in measured.series if series.ablation != "optimal"]
    own, shared = [series for series in measured.series if series.ablation == "optimal"]
    good, bad = (" ".join(verdicts(series, others, against(series, others))) for series in (own, shared))
    assert "no more than under counterfactual" in good
    assert "cost more than" not in good
    assert "more than half of the components cost more than under counterfactual" in bad
    assert "no more than under zero" in bad
    rows = summary(own, others, against(own, others)).set_index("ablation")
    assert rows.loc["zero", "median"] < rows.loc["mean (per position)", "median"] < 1
    assert rows.loc["mean (per position)", "paper (GPT-2 small)"] == f"{PAPER['mean']:.3f}"
    assert rows.loc["counterfactual", "paper (GPT-2 small)"] == "–"


def test_the_paper_stands_only_beside_constants_per_position(store, four):
    write_importance(store, "optimal", settings=SHARED)
    write_importance(store, "mean", settings=SHARED)
    _, measured = only_subject()
    by_name = {series.name: series for series in measured.series}
    optimal = by_name["optimal (per position)"]
    assert paper_median(optimal, by_name["mean (per position)"]) == 0.33
    assert paper_median(optimal, by_name["zero"]) == 0.111
    assert paper_median(optimal, by_name["mean (shared)"]) is None
    assert paper_median(by_name["optimal (shared)"], by_name["mean (per position)"]) is None


def test_without_optimal_constants_their_training_is_offered(store, asked):
    write_subject(store, "mean", "zero")
    at = page(view="ratios")
    at.button(key="ablations-train").click().run()
    assert [request.ablation for request in asked] == ["optimal"]
    at = page(view="training")
    assert "No constants were trained" in at.info[0].value


def test_the_training_is_told_in_words_and_as_a_table(four):
    at = page(view="training")
    assert "At the means **0.6 nats**, at the best constants **0.29 nats**" in text(at)
    assert list(table(at, "Training of the constants")["best"]) == HISTORY["best"]


def test_runs_without_kl_prompt_by_prompt_have_no_intervals_of_correlations(store):
    for name in ("mean", "zero"):
        write_importance(store, name, tensors=False)
    at = page(view="pairs")
    assert table(at, "How far every two ablations agree")["Spearman low"].isna().tolist() == [True]
    at = page(view="prompts")
    assert "do not hold KL prompt by prompt" in at.info[0].value


def test_an_imported_run_may_lack_components_and_name_others(store):
    write_importance(store, "mean", graph=Graph(4, 8))
    write_importance(store, "zero", graph=Graph(2, 4))
    for view in VIEWS:
        at = page(view=view, select="a3.h7")
        assert at.title


def test_everything_is_saved_as_one_tidy_table(four):
    subject, measured = only_subject()
    rows = tidy(subject, measured)
    assert len(rows) == len(GRAPH.sources) * 4
    assert set(rows["run"]) == set(four.values())
    row = rows[(rows["component"] == "m1") & (rows["ablation"] == "optimal")].iloc[0]
    assert row["conditioning"] == "per position"
    assert row["prompts"] == PROMPTS
    assert row["low"] <= row["delta_nats"] <= row["high"]


def test_the_form_asks_for_one_ablation_with_its_settings(four, asked, monkeypatch):
    seen = []
    monkeypatch.setattr("app.importance.form._submit", seen.extend)
    at = page()
    at.selectbox(key="ablations-new-ablation").select("mean").run()
    at.selectbox(key="ablations-set-mean-conditioning").select("shared").run()
    at.button(key="ablations-measure").click().run()
    assert len(seen) == 1
    assert seen[0]["ablation_settings"] == SHARED
    assert (seen[0]["task"], seen[0]["n_prompts"], seen[0]["seed"]) == ("ioi", 200, 0)


def test_the_form_asks_for_every_ablation(four, monkeypatch):
    seen = []
    monkeypatch.setattr("app.importance.form._submit", seen.extend)
    at = page()
    at.button(key="ablations-measure").click().run()
    assert [fields["ablation"] for fields in seen] == ablations.names()
