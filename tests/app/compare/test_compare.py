"""The wiring of the Compare page; what is drawn is tested in figures/, what is clicked in browser/."""

import numpy as np
import pytest

from app.compare.choice import groups
from app.compare.graphs import edges_of
from app.figures.names import node_role
from app.runs import open_run
from engine.circuits.graph import Graph
from engine.circuits.overlap import edge_overlap, used_nodes
from tests.app.compare.opening import GRAPH, compared_of, page, table
from tests.app.drawing import drawn, figure, text, views
from tests.app.fake_run import SIZE, write_fake_run


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


def test_many_runs_are_told_apart(store):
    runs = [write_fake_run(store, seed=seed) for seed in range(8)]
    at = page(*runs)
    assert {f"compare-graph-{place}" for place in range(8)} < set(views(at))
    assert len(groups(compared_of(*runs))) == 1
    assert len(table(at, "Overlap")) == 28
