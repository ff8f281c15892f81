"""Metrics on the page Compare, evaluations that they need, and circuits made of others."""

from streamlit.testing.v1 import AppTest

from app.compare.combined import combinations_of
from app.compare.evaluations import unlike
from app.compare.metrics import METRICS, estimate_text, tidy
from app.figures.style import LIGHT
from app.requests import evaluation_request
from app.runs import open_run
from engine.ablations.base import ablations
from engine.instruments.evaluate.request import Evaluate
from engine.instruments.measure.request import Measure
from engine.runs.request import Request
from engine.runs.store import RunStore
from tests.app.compare.opening import GRAPH, compared_of, page, table
from tests.app.drawing import figure, text, views
from tests.app.fake_run import SIZE, SIZES, fake_result, fake_scores, write_fake_answer, write_fake_run


def evaluate(store: RunStore, request: Request) -> str:
    """Write made-up numbers for a request to evaluate, worse than those of the run itself."""
    return store.write(request, fake_result(GRAPH, fake_scores(GRAPH), SIZES, SIZE, scale=3))


def test_metrics_have_intervals_and_a_tidy_export(pair):
    at = page(*pair)
    metrics = table(at, "Metrics of every circuit").set_index("metric")
    point = open_run(pair[0]).run.result.point_at(SIZE)
    assert point.edges_requested == SIZE
    assert metrics.iloc[0, 0] == f"{point.n_edges}"
    assert metrics.loc["KL to the model (nats)"].iloc[0] == estimate_text(point.kl)
    export = tidy(compared_of(*pair))
    assert len(export) == 2 * len(METRICS)
    row = export[(export["run"] == pair[0]) & (export["metric"] == "kl")].iloc[0]
    assert (row["mean"], row["low"], row["high"]) == (point.kl.mean, *point.kl.ci95)
    assert (row["letter"], row["found_under"], row["prompts"]) == ("A", "counterfactual", 200)


def test_curves_follow_the_metric_and_mark_the_size(pair):
    at = page(*pair, metric="faithfulness", edges="300")
    curves = figure(at, "compare-curves")
    assert curves["layout"]["uirevision"] == "Faithfulness"
    assert sum(trace.get("name") == "shown" for trace in curves["data"]) == 2
    at.selectbox(key="compare-metric").set_value("kl").run()
    assert figure(at, "compare-curves")["layout"]["yaxis"]["type"] == "log"


def test_missing_evaluations_are_named_and_started_together(pair, asked):
    at = page(*pair, under="zero")
    assert "Not evaluated under zero yet" in text(at)
    metrics = table(at, "Metrics of every circuit")
    assert (metrics.iloc[:, 1:] == "–").all(axis=None)
    assert "compare-curves" not in views(at)
    at.button(key="compare-evaluate").click().run()
    assert not at.exception
    requests = [request for request in asked if isinstance(request, Evaluate)]
    assert len(requests) == len(asked)
    assert [(request.circuit, request.ablation) for request in requests] == [
        (pair[0], "zero"),
        (pair[1], "zero"),
    ]


def test_a_finished_evaluation_of_all_under_one_ablation_is_shown(store, pair, asked):
    at = page(*pair, under="mean")
    own = table(page(*pair), "Metrics of every circuit")
    at.button(key="compare-evaluate").click().run()
    (request,) = asked
    assert request.origin == pair[0]
    evaluation = evaluate(store, request)
    at = page(*pair, under="mean")
    shown = table(at, "Metrics of every circuit")
    assert "Not evaluated under mean" not in text(at)
    kl = shown.set_index("metric").loc["KL to the model (nats)"]
    assert kl.iloc[0] != own.set_index("metric").loc["KL to the model (nats)"].iloc[0]
    assert kl.iloc[1] == own.set_index("metric").loc["KL to the model (nats)"].iloc[1]
    assert evaluation in text(at)


def test_an_evaluation_that_cannot_be_made_says_why(store):
    run = write_fake_run(store, model="no-such-model")
    at = page(run, under="zero")
    assert not at.error
    at.button(key="compare-evaluate").click().run()
    assert not at.exception
    (error,) = at.error
    assert "no-such-model" in error.value
    assert "\n" not in error.value


def test_finished_evaluations_are_shown_also_where_the_model_is_not(store):
    run = write_fake_run(store, model="no-such-model")
    evaluation = evaluate(store, evaluation_request(store.get(run), "zero"))
    at = page(run, under="zero")
    assert evaluation in text(at)
    assert "Not evaluated under zero" not in text(at)


def test_combined_circuits_are_previewed_and_measured_as_one_job(pair, asked):
    at = page(*pair)
    first, second = (open_run(run).circuit(SIZE) for run in pair)
    sizes = table(at, "made of others").set_index("circuit")["Edges"]
    assert sizes.iloc[2] == str(first.n_edges)
    assert int(sizes.iloc[0]) <= int((first.kept & second.kept).sum())
    assert int(sizes.iloc[1]) == int((first.kept | second.kept).sum())
    at.selectbox(key="compare-on").set_value(pair[1]).run()
    at.selectbox(key="compare-with").set_value("zero").run()
    at.button(key="compare-measure").click().run()
    assert not at.exception
    (request,) = asked
    assert isinstance(request, Measure)
    assert request.ablation == "zero"
    joins = {chosen.name: (chosen.join, [part.run for part in chosen.parts]) for chosen in request.circuits}
    assert joins["in all"] == ("intersection", sorted(pair))
    assert joins["in any"] == ("union", sorted(pair))
    assert joins[f"only {pair[0]}"] == ("difference", list(pair))
    assert joins[pair[1]] == ("union", [pair[1]])
    assert {part.edges for chosen in request.circuits for part in chosen.parts} == {SIZE}


def test_measured_circuits_are_shown_as_a_table_and_as_marks(store, pair, asked):
    page(*pair).button(key="compare-measure").click().run()
    run = write_fake_answer(store, asked[0])
    at = page(*pair)
    shown = table(at, "made of others").set_index("circuit")
    assert list(shown.index)[:2] == ["in both (∩)", "in any (∪)"]
    points = store.get(run).result.curve
    assert list(shown["KL to the model (nats)"]) == [estimate_text(point.kl) for point in points]
    chart = figure(at, "compare-combined")["data"]
    assert sum(trace.get("mode") == "markers+text" for trace in chart) == sum(
        point.n_edges > 0 for point in points
    )
    # Of the runs, only the one evaluated under this ablation has a curve there.
    assert [t["name"] for t in chart if t.get("mode") == "lines+markers"] == [figure_name(at, 0)]
    assert run in text(at)


def figure_name(at: AppTest, place: int) -> str:
    lines = [t for t in figure(at, "compare-curves")["data"] if t.get("mode") == "lines+markers"]
    return lines[place]["name"]


def test_the_same_runs_in_another_order_are_the_same_measurement(pair):
    forth, back = (
        sorted(one.chosen.model_dump_json() for one in combinations_of(compared_of(*order), LIGHT))
        for order in (pair, pair[::-1])
    )
    assert forth == back


def test_one_circuit_under_every_ablation(store, pair, asked):
    at = page(*pair, same=pair[1])
    assert list(table(at, "under every ablation")["ablation"]) == ["Mean (as found)"]
    at.button(key="compare-evaluate-one").click().run()
    assert {request.circuit for request in asked} == {pair[1]}
    others = len(ablations.names()) - 1
    assert len(asked) == len({request.ablation for request in asked}) == others
    for request in asked:
        evaluate(store, request)
    at = page(*pair, same=pair[1])
    assert len(table(at, "under every ablation")) == 1 + others
    lines = [t for t in figure(at, "compare-ablations")["data"] if t.get("mode") == "lines+markers"]
    looks = {(line["line"]["color"], line["line"]["dash"]) for line in lines}
    assert len(lines) == len(looks) == 1 + others
    assert not [button for button in at.button if button.key == "compare-evaluate-one"]


def test_what_was_not_measured_alike_is_said(store, pair):
    other = write_fake_run(store, task="facts", model="another-4l", split="train")
    runs = [open_run(run).run for run in (*pair, other)]
    assert unlike(runs[:2]) == []
    assert unlike(runs[1:]) == [
        "each on its own task",
        "on other numbers or splits of prompts",
        "each in its own model",
    ]
    assert "Not measured alike: each on its own task" in text(page(pair[0], other))
    settings = write_fake_run(store, ablation="mean", ablation_settings={"conditioning": "shared"})
    assert unlike([open_run(pair[1]).run, open_run(settings).run]) == [
        "with other settings of the ablation 'Mean'"
    ]
