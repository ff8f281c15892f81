"""The wiring of the Compare page; what is drawn is tested in figures/, what is clicked in browser/."""

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from app.compare.choice import Compared, groups, side_by_side
from app.compare.combined import combinations_of
from app.compare.evaluations import OWN, unlike
from app.compare.graphs import edges_of
from app.compare.metrics import METRICS, estimate_text, tidy
from app.figures.names import node_role
from app.figures.style import LIGHT
from app.requests import evaluation_request
from app.runs import open_run
from engine.ablations.base import ablations
from engine.circuits.graph import Graph
from engine.circuits.overlap import edge_overlap, used_nodes
from engine.runs.request import Request
from engine.runs.store import RunStore
from tests.app.drawing import drawn, figure, open_page, text, views
from tests.app.fake_run import SIZE, SIZES, fake_result, fake_scores, write_fake_answer, write_fake_run

GRAPH = Graph(4, 8)


def page(*runs: str, **query: str) -> AppTest:
    return open_page("compare", **({"runs": ",".join(runs)} if runs else {}), **query)


def compared_of(*runs: str, size: int = SIZE) -> list[Compared]:
    return side_by_side([open_run(run) for run in runs], size, OWN, str, LIGHT)


@pytest.fixture
def pair(store) -> tuple[str, str]:
    """Two runs of one task, found under other ablations."""
    return write_fake_run(store), write_fake_run(store, ablation="mean", seed=1)


@pytest.fixture
def asked(store, monkeypatch) -> list[Request]:
    """What is put into the queue."""
    submitted: list[Request] = []
    monkeypatch.setattr("app.requests.JobQueue.submit", lambda queue, request: submitted.append(request))
    monkeypatch.setattr("engine.experiments.completed", _completed)
    return submitted


def _completed(request: Request, store: RunStore) -> Request:
    """What `completed` does for a model that is there; that of made-up runs is not."""
    settings = ablations.get(request.ablation).Settings().model_dump(mode="json")
    return request.model_copy(update={"ablation_settings": settings})


def evaluate(store: RunStore, request: Request) -> str:
    """Write made-up numbers for a request to evaluate, worse than those of the run itself."""
    return store.write(request, fake_result(GRAPH, fake_scores(GRAPH), SIZES, SIZE, scale=3))


def table(at: AppTest, alt: str) -> pd.DataFrame:
    return next(frame.value for frame in at.dataframe if alt in frame.proto.alt)


def test_without_runs_the_page_says_what_to_do(store):
    at = page()
    assert "Discover a circuit on the Explore page" in at.info[0].value


def test_a_first_visitor_sees_runs_of_one_task(store, pair):
    third = write_fake_run(store, ablation="zero", seed=2)
    other = write_fake_run(store, task="facts")
    at = page()
    chosen = at.multiselect(key="compare-runs").value
    assert sorted(chosen) == sorted([*pair, third])
    assert other not in chosen
    assert {f"compare-graph-{place}" for place in range(3)} < set(views(at))


def test_graphs_stand_side_by_side_with_their_provenance(pair):
    at = page(*pair)
    shown = text(at)
    for place, run in enumerate(pair):
        circuit = open_run(run).circuit(SIZE)
        assert drawn(at, f"compare-graph-{place}") == set(np.array(GRAPH.edge_names)[circuit.kept])
        assert run in shown
        view = views(at)[f"compare-graph-{place}"]
        assert view["link"] == "compare"
        title, numbers = (
            note["text"] for note in figure(at, f"compare-graph-{place}")["layout"]["annotations"]
        )
        assert "AB"[place] in title
        assert f"{circuit.n_edges} of 1,519 edges" in numbers
        assert "KL" in numbers


def test_one_slider_moves_all_circuits(pair):
    at = page(*pair)
    before = [drawn(at, f"compare-graph-{place}") for place in (0, 1)]
    at.select_slider(key="compare-edges").set_value(700).run()
    assert not at.exception
    after = [drawn(at, f"compare-graph-{place}") for place in (0, 1)]
    assert all(large > small for large, small in zip(after, before, strict=True))
    assert at.query_params["edges"] == "700"


def test_runs_of_other_sizes_show_the_nearest_they_have(store, pair):
    other = write_fake_run(store, sizes=(100, 400), size=100, task="facts")
    at = page(pair[0], other, edges="300")
    assert at.select_slider(key="compare-edges").value == 300
    assert drawn(at, "compare-graph-0") == names(open_run(pair[0]).circuit(300))
    assert drawn(at, "compare-graph-1") == names(open_run(other).circuit(400))


def names(circuit) -> set[str]:
    return set(np.array(GRAPH.edge_names)[circuit.kept])


def test_a_new_first_run_brings_its_own_size_unless_the_slider_was_moved(store, pair):
    large = write_fake_run(store, size=300, ablation="zero", seed=2)
    at = page(*pair)
    at.multiselect(key="compare-runs").set_value([large, *pair]).run()
    assert at.select_slider(key="compare-edges").value == 300
    at.select_slider(key="compare-edges").set_value(76).run()
    at.multiselect(key="compare-runs").set_value(list(pair)).run()
    assert at.select_slider(key="compare-edges").value == 76


def test_the_overlap_of_two_has_counts_chance_and_p(pair):
    at = page(*pair)
    first, second = (open_run(run).circuit(SIZE) for run in pair)
    expected = edge_overlap(first, second)
    row = table(at, "Overlap").iloc[0]
    assert list(row[["of", "shared", "only A", "only B"]]) == [
        "edges",
        expected.shared,
        expected.only_first,
        expected.only_second,
    ]
    assert row["Jaccard"] == pytest.approx(expected.jaccard)
    assert row["by chance"] == pytest.approx(expected.expected)
    assert row["p"] == f"{expected.p:.2g}"
    assert list(table(at, "Overlap")["of"]) == ["edges", "nodes"]
    bars = [trace for trace in figure(at, "compare-overlap")["data"] if trace["type"] == "bar"]
    assert [bar["name"] for bar in bars] == ["only A", "in both", "only B"]


def test_the_overlap_of_three_is_a_matrix_of_edges_or_nodes(store, pair):
    third = write_fake_run(store, ablation="zero", seed=2)
    at = page(*pair, third)
    assert list(table(at, "Overlap")["circuits"]) == ["A and B", "A and C", "B and C"]
    edges = figure(at, "compare-overlap")["layout"]["annotations"]
    at.segmented_control(key="compare-of").set_value("nodes").run()
    assert not at.exception
    assert figure(at, "compare-overlap")["layout"]["annotations"] != edges
    assert at.query_params["of"] == "nodes"


def test_a_run_of_another_graph_is_drawn_and_left_out_of_the_overlap(store, pair):
    other = write_fake_run(store, Graph(2, 4), sizes=(10, 40), size=40, model="other-2l", seed=3)
    at = page(*pair, other)
    assert "compare-graph-2" in views(at)
    assert "C (2 layers, 4 heads" in text(at)
    assert list(table(at, "Overlap")["of"]) == ["edges", "nodes"]
    assert list(table(at, "The edges").columns) == ["from", "to", "input", "in", "A", "B"]
    assert figure(at, "compare-graph-2")["layout"]["uirevision"] == "2x4"
    lines = [t for t in figure(at, "compare-curves")["data"] if t.get("mode") == "lines+markers"]
    assert len(lines) == 3
    selected = page(*pair, other, select="a1.h3")
    assert "No edge of" not in text(selected)


def test_two_runs_of_different_graphs_have_no_overlap(store, pair):
    other = write_fake_run(store, Graph(2, 4), sizes=(10, 40), size=40, model="other-2l", seed=3)
    at = page(pair[0], other)
    assert "compare-overlap" not in views(at)
    assert "no other circuit here is of the same graph" in text(at)
    assert "Choose two runs of one model" in text(at)


def test_different_models_of_one_shape_are_named(store, pair):
    other = write_fake_run(store, model="another-4l", seed=3)
    assert "circuits of different models" in text(page(pair[0], other))
    assert "circuits of different models" not in text(page(*pair))


def test_a_selected_node_is_selected_in_all_and_lists_its_edges(pair):
    used = [set(np.array(GRAPH.nodes)[used_nodes(open_run(run).circuit(SIZE))]) for run in pair]
    node = min(used[0] & used[1] - {"input", "logits"})
    at = page(*pair, select=node)
    for place in (0, 1):
        strong = [
            trace
            for trace in figure(at, f"compare-graph-{place}")["data"]
            if trace.get("mode") == "lines" and trace.get("showlegend") is False and trace["opacity"] > 0.5
        ]
        assert strong
    edges = table(at, "The edges")
    assert len(edges) > 0
    assert ((edges["from"] == node) | (edges["to"] == node)).all()
    assert node_role(node).capitalize() in text(at)
    at.button(key="compare-clear").click().run()
    assert len(table(at, "The edges")) > len(edges)
    assert "select" not in at.query_params


def test_a_selected_edge_shows_its_rank_in_every_run(pair):
    circuits = [open_run(run).circuit(SIZE) for run in pair]
    only = GRAPH.edge_names[int(np.flatnonzero(circuits[0].kept & ~circuits[1].kept)[0])]
    at = page(*pair, select=only)
    row = table(at, "The edges").iloc[0]
    assert row["in"] == "A"
    for letter, circuit in zip("AB", circuits, strict=True):
        score = circuit.scores[GRAPH.edge_index[only]]
        assert row[letter] == 1 + (circuit.scores > score).sum()
    assert "No edge of B at this size touches what is selected" in text(at)


def test_the_edge_table_is_ordered_by_the_best_rank(pair):
    edges = edges_of(compared_of(*pair), ())
    best = edges[["A", "B"]].min(axis=1)
    in_one = [rank for rank, letters in zip(best, edges["in"], strict=True) if letters == "A, B"]
    assert in_one == sorted(in_one)
    circuits = [open_run(run).circuit(SIZE) for run in pair]
    assert len(edges) == (circuits[0].kept | circuits[1].kept).sum()


def test_metrics_have_intervals_and_a_tidy_export(pair):
    at = page(*pair)
    metrics = table(at, "Metrics of every circuit").set_index("metric")
    point = next(p for p in open_run(pair[0]).run.result["curve"] if p["edges_requested"] == SIZE)
    assert metrics.iloc[0, 0] == f"{point['n_edges']}"
    assert metrics.loc["KL to the model (nats)"].iloc[0] == estimate_text(point["kl"])
    export = tidy(compared_of(*pair))
    assert len(export) == 2 * len(METRICS)
    row = export[(export["run"] == pair[0]) & (export["metric"] == "kl")].iloc[0]
    assert (row["mean"], row["low"], row["high"]) == (point["kl"]["mean"], *point["kl"]["ci95"])
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
    assert [(request.kind, request.circuit, request.ablation) for request in asked] == [
        ("evaluate", pair[0], "zero"),
        ("evaluate", pair[1], "zero"),
    ]


def test_a_finished_evaluation_of_all_under_one_ablation_is_shown(store, pair, asked):
    at = page(*pair, under="mean")
    own = table(page(*pair), "Metrics of every circuit")
    at.button(key="compare-evaluate").click().run()
    (request,) = asked
    assert request.circuit == pair[0]
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
    assert (request.kind, request.ablation) == ("measure", "zero")
    joins = {one.name: (one.join, [part.run for part in one.parts]) for one in request.circuits}
    assert joins["in all"] == ("intersection", sorted(pair))
    assert joins["in any"] == ("union", sorted(pair))
    assert joins[f"only {pair[0]}"] == ("difference", list(pair))
    assert joins[pair[1]] == ("union", [pair[1]])
    assert {part.edges for one in request.circuits for part in one.parts} == {SIZE}


def test_measured_circuits_are_shown_as_a_table_and_as_marks(store, pair, asked):
    page(*pair).button(key="compare-measure").click().run()
    run = write_fake_answer(store, asked[0])
    at = page(*pair)
    shown = table(at, "made of others").set_index("circuit")
    assert list(shown.index)[:2] == ["in both (∩)", "in any (∪)"]
    points = store.get(run).result["curve"]
    assert list(shown["KL to the model (nats)"]) == [estimate_text(point["kl"]) for point in points]
    chart = figure(at, "compare-combined")["data"]
    assert sum(trace.get("mode") == "markers+text" for trace in chart) == sum(
        p["n_edges"] > 0 for p in points
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


def test_the_url_names_everything_that_is_seen(pair):
    query = {
        "edges": "300",
        "under": "mean",
        "metric": "accuracy",
        "select": "m0",
        "on": pair[1],
        "with": "resample",
        "same": pair[1],
    }
    at = page(*pair[::-1], **(query | {"on": pair[0], "same": pair[0]}))
    assert at.multiselect(key="compare-runs").value == list(pair[::-1])
    assert at.query_params == {"runs": ",".join(pair[::-1])} | query | {"on": pair[0], "same": pair[0]}


def test_nonsense_in_the_url_is_named_and_left_out(pair):
    at = page(pair[0], "no-such-run", "[a](http://x)", edges="many", under="magic", select="<b>", of="x")
    assert "'no-such-run'" in at.warning[0].value
    assert "[a](" not in at.warning[0].value
    assert at.multiselect(key="compare-runs").value == [pair[0]]
    assert at.select_slider(key="compare-edges").value == SIZE
    assert "Choose another run" in at.info[0].value


def test_nothing_chosen_says_what_to_do(pair):
    at = page(*pair)
    at.multiselect(key="compare-runs").set_value([]).run()
    assert not at.exception
    assert "Choose two or more runs" in at.info[0].value


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


def test_many_runs_are_told_apart(store):
    runs = [write_fake_run(store, seed=seed) for seed in range(8)]
    at = page(*runs)
    assert {f"compare-graph-{place}" for place in range(8)} < set(views(at))
    assert len(groups(compared_of(*runs))) == 1
    assert len(table(at, "Overlap")) == 28
