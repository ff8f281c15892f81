"""The circuit graph as a picture."""

from itertools import pairwise

import numpy as np
import pytest

from app.figures.edges import expand_handles
from app.figures.graph import DIMMED, MOST_EDGES, circuit_figure, drawn_edges
from app.figures.names import edge_label, node_role
from app.figures.nodes import node_traces
from app.figures.places import curves, edge_kinds, node_places, x_range, y_range
from app.figures.style import DARK, LIGHT
from engine.circuits.circuit import Circuit, top_edges
from engine.circuits.graph import Graph
from tests.app.fake_run import fake_scores

GRAPHS = {
    "demo": Graph(4, 8),
    "merged": Graph(4, 8, "merged"),
    "parallel": Graph(6, 8, parallel=True),
    "gpt2": Graph(12, 12),
}


def circuit_of(name: str, edges: int = 150) -> Circuit:
    graph = GRAPHS[name]
    return top_edges(graph, fake_scores(graph), edges)


def raw(trace):
    """A trace as a dictionary with arrays as they are; `Figure.to_dict` would encode them."""
    return trace.to_plotly_json()


def traces(figure, **match):
    return [t for t in map(raw, figure.data) if all(t.get(k) == v for k, v in match.items())]


def lines(figure):
    """The drawn edges: line traces that are not there for the legend alone."""
    return [t for t in traces(figure, mode="lines") if t.get("showlegend") is False]


def count_curves(figure) -> int:
    return sum(int(np.isnan(np.asarray(t["x"], dtype=float)).sum()) for t in lines(figure))


@pytest.mark.parametrize("name", GRAPHS)
def test_every_kept_edge_is_drawn_once_and_answers_the_pointer(name):
    circuit = circuit_of(name)
    figure = circuit_figure(circuit, LIGHT)
    assert count_curves(figure) == circuit.n_edges > 0
    handles = traces(figure, name="handles")[0]
    assert sorted(handles["meta"]["edges"]) == sorted(np.array(circuit.graph.edge_names)[circuit.kept])
    assert len(handles["x"]) == circuit.n_edges * handles["meta"]["points"]


@pytest.mark.parametrize("name", GRAPHS)
def test_every_node_is_drawn_once_inside_the_frame(name):
    circuit = circuit_of(name)
    figure = circuit_figure(circuit, LIGHT)
    shown = [n for part in ("nodes", "unused nodes") for n in traces(figure, name=part)[0]["customdata"]]
    assert sorted(shown) == sorted(circuit.graph.nodes)
    places, (x0, x1), (y0, y1) = node_places(circuit.graph), x_range(circuit.graph), y_range(circuit.graph)
    assert (places[:, 0] > x0).all()
    assert (places[:, 0] < x1).all()
    assert (places[:, 1] > y0).all()
    assert (places[:, 1] < y1).all()
    assert len(np.unique(places, axis=0)) == len(places)


def test_a_node_stands_at_the_same_place_at_every_size():
    graph = GRAPHS["demo"]
    first, second = (circuit_figure(top_edges(graph, fake_scores(graph), k), LIGHT) for k in (76, 700))
    places = []
    for figure in (first, second):
        found = {}
        for part in ("nodes", "unused nodes"):
            trace = traces(figure, name=part)[0]
            found |= dict(zip(trace["customdata"], zip(trace["x"], trace["y"], strict=True), strict=True))
        places.append(found)
    assert places[0] == places[1]
    assert first.layout.xaxis.range == second.layout.xaxis.range
    assert first.layout.uirevision == second.layout.uirevision


@pytest.mark.parametrize("name", GRAPHS)
def test_edges_lead_upwards(name):
    graph = GRAPHS[name]
    places = node_places(graph)
    sources, readers = graph.edges[:, 0], graph.reader_nodes[graph.edges[:, 1]]
    assert (places[readers, 1] > places[sources, 1]).all()


def test_the_three_inputs_of_a_head_enter_side_by_side():
    start, end = np.zeros((3, 2)), np.tile([[2.0, 3.0]], (3, 1))
    ends = curves(start, end, np.array(["q", "k", "v"]), points=9, outward=99)[:, -1, 0]
    assert ends[1] == pytest.approx(2.0)
    assert ends[0] < ends[1] < ends[2]


def test_width_goes_by_rank_and_weak_edges_are_drawn_first():
    circuit = circuit_of("demo")
    drawn = drawn_edges(circuit, signed=False)
    ordered = circuit.scores[drawn.edges]
    assert all(weak <= strong for weak, strong in pairwise(ordered))
    counts = np.bincount(drawn.quarter)
    assert len(counts) == 4
    assert counts.max() - counts.min() <= 1
    widths = [t["line"]["width"] for t in lines(circuit_figure(circuit, LIGHT))]
    assert widths == sorted(widths)


def test_most_edges_are_drawn_and_the_strongest_win():
    graph = GRAPHS["gpt2"]
    circuit = Circuit(graph, np.ones(graph.n_edges, dtype=bool), fake_scores(graph))
    drawn = drawn_edges(circuit, signed=False)
    assert len(drawn.edges) == MOST_EDGES
    assert set(drawn.edges) == set(np.argsort(-circuit.scores, kind="stable")[:MOST_EDGES])


def test_selecting_a_node_dims_what_does_not_touch_it():
    circuit = circuit_of("demo")
    ends = [
        (n.split("->")[0], n.split("->")[1].split("<")[0])
        for n in np.array(circuit.graph.edge_names)[circuit.kept]
    ]
    node = max({s for s, _ in ends} - {"input"}, key=lambda n: sum(n in pair for pair in ends))
    figure = circuit_figure(circuit, LIGHT, selected=(node,))
    strong = [t for t in lines(figure) if t["opacity"] > DIMMED]
    lit = sum(int(np.isnan(np.asarray(t["x"], dtype=float)).sum()) for t in strong)
    assert lit == sum(node in pair for pair in ends) < len(ends)
    nodes = traces(figure, name="nodes")[0]
    rims = dict(zip(nodes["customdata"], nodes["marker"]["line"]["color"], strict=True))
    assert [name for name, colour in rims.items() if colour == LIGHT.ring] == [node]


def test_selecting_an_edge_leaves_it_alone_strong():
    circuit = circuit_of("demo")
    edge = circuit.graph.edge_names[int(np.flatnonzero(circuit.kept)[0])]
    strong = [t for t in lines(circuit_figure(circuit, DARK, selected=(edge,))) if t["opacity"] > DIMMED]
    assert len(strong) == 1
    assert np.isnan(np.asarray(strong[0]["x"], dtype=float)).sum() == 1


def test_an_unknown_selection_dims_nothing():
    figure = circuit_figure(circuit_of("demo"), LIGHT, selected=("a99.h99",))
    assert all(t["opacity"] > DIMMED for t in lines(figure))


def test_sign_is_dashed_only_where_scores_are_effects():
    circuit = circuit_of("demo", 700)
    assert (circuit.scores[circuit.kept] < 0).any()
    assert {t["line"]["dash"] for t in lines(circuit_figure(circuit, LIGHT, signed=False))} == {"solid"}
    signed = circuit_figure(circuit, LIGHT, signed=True)
    dashed = [t for t in lines(signed) if t["line"]["dash"] == "dot"]
    negative = int((circuit.scores[circuit.kept] < 0).sum())
    assert sum(int(np.isnan(np.asarray(t["x"], dtype=float)).sum()) for t in dashed) == negative
    assert traces(signed, name="negative")


def test_legend_has_full_strength_and_fixed_order():
    legend = [t for t in traces(circuit_figure(circuit_of("demo"), LIGHT), mode="lines") if t.get("name")]
    assert [t["name"] for t in legend] == ["query", "key", "value", "MLP", "logits"]
    assert [t["line"]["color"] for t in legend] == [LIGHT.kinds[t["legendgroup"]] for t in legend]
    merged = [t for t in traces(circuit_figure(circuit_of("merged"), LIGHT), mode="lines") if t.get("name")]
    assert merged[0]["name"] == "head in"


def test_an_empty_circuit_is_a_picture_of_unused_nodes():
    graph = GRAPHS["demo"]
    nothing = Circuit(graph, np.zeros(graph.n_edges, dtype=bool), fake_scores(graph))
    figure = circuit_figure(nothing, LIGHT)
    assert lines(figure) == []
    assert list(traces(figure, name="nodes")[0]["customdata"]) == ["input", "logits"]


def test_hover_texts_are_written_out_for_export():
    circuit = circuit_of("demo")
    figure = expand_handles(circuit_figure(circuit, LIGHT))
    handles = traces(figure, name="handles")[0]
    assert len(handles["text"]) == len(handles["x"])
    best = circuit.graph.edge_names[int(np.argmax(np.where(circuit.kept, circuit.scores, -np.inf)))]
    assert edge_label(best) in handles["text"][-1]
    assert f"rank 1 of {circuit.n_edges}" in handles["text"][-1]


def test_words_for_nodes_and_edges():
    assert edge_label("a0.h1->a2.h3<q>") == "a0.h1 → a2.h3 (query)"
    assert edge_label("m3->logits") == "m3 → logits"
    assert node_role("a10.h7") == "head 7 of layer 10"
    assert node_role("m3") == "MLP of layer 3"


def test_kinds_of_edges_are_their_readers_kinds():
    graph = GRAPHS["demo"]
    kinds = edge_kinds(graph)
    assert kinds[graph.edge_index["a0.h1->a2.h3<q>"]] == "q"
    assert kinds[graph.edge_index["input->m0"]] == "mlp"
    assert kinds[graph.edge_index["m3->logits"]] == "logits"


def test_node_marks_count_edges_in_and_out():
    circuit = circuit_of("demo")
    used = node_traces(circuit, node_places(circuit.graph), {0}, set(), LIGHT)[1]
    text = used["hovertext"][used["customdata"].index("input")]
    out = sum(name.startswith("input->") for name in np.array(circuit.graph.edge_names)[circuit.kept])
    assert text.endswith(f"edges in 0, out {out}")


def test_edges_share_traces():
    """A trace per style instead of one per edge is what makes the picture quick."""
    circuit = circuit_of("gpt2", 450)
    assert len(list(circuit_figure(circuit, LIGHT).data)) <= 40 < circuit.n_edges
