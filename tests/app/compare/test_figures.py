"""Pictures of several circuits side by side, of what they share, and their curves in one chart."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from app.compare.figures.graphs import ALL, ALONE, OPACITIES, SOME, compare_figure, edge_classes
from app.compare.figures.overlap import matrix_figure, pair_figure
from app.figures.curve import LEAST_KL
from app.figures.curves import Single, curves_figure, marked_series
from app.figures.graph import DIMMED
from app.figures.marks import run_mark
from app.figures.style import DARK, LIGHT
from engine.circuits.circuit import Circuit, top_edges
from engine.circuits.graph import Graph
from engine.circuits.overlap import edge_overlap, node_overlap, overlap, used_nodes
from engine.runs.record import Measured
from tests.app.fake_run import SIZE, estimate, fake_curve, fake_scores
from tests.made_up import made_up

GRAPH = Graph(4, 8)
CIRCUITS = {letter: top_edges(GRAPH, fake_scores(GRAPH, seed), SIZE) for seed, letter in enumerate("ABC")}


def figure_of(letter: str, among: str = "ABC", **options):
    mark = run_mark("ABC".index(letter), LIGHT)
    chosen = {name: CIRCUITS[name] for name in among}
    return compare_figure(CIRCUITS[letter], mark, chosen, ("a title", "its numbers"), LIGHT, **options)


def layout(figure: go.Figure) -> Any:
    """The layout, of whose parts plotly declares no types."""
    return figure.layout


def traces(figure, **match):
    found = [trace.to_plotly_json() for trace in figure.data]
    return [trace for trace in found if all(trace.get(key) == value for key, value in match.items())]


def drawn(figure, **match) -> int:
    """How many edges are drawn in these traces: each ends with a gap."""
    return sum(
        int(np.isnan(np.asarray(trace["x"], dtype=float)).sum())
        for trace in traces(figure, mode="lines", showlegend=False, **match)
    )


def test_classes_count_the_circuits_that_have_an_edge():
    masks = [np.array(mask, dtype=bool) for mask in ([1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 1, 0])]
    assert edge_classes(masks).tolist() == [ALONE, SOME, ALL, ""]
    assert edge_classes(masks[:2]).tolist() == [ALONE, ALL, ALL, ""]
    assert edge_classes(masks[:1]).tolist() == [ALONE, ALONE, ALONE, ""]


def test_every_edge_is_drawn_once_and_its_own_ones_in_its_colour():
    kept = {letter: circuit.kept for letter, circuit in CIRCUITS.items()}
    for place, letter in enumerate("ABC"):
        figure, mark = figure_of(letter), run_mark(place, LIGHT)
        others = np.any([mask for name, mask in kept.items() if name != letter], axis=0)
        every = np.all(list(kept.values()), axis=0)
        counts = {
            ALONE: int((kept[letter] & ~others).sum()),
            ALL: int(every.sum()),
            SOME: int((kept[letter] & others & ~every).sum()),
        }
        assert min(counts.values()) > 0
        for group, count in counts.items():
            assert drawn(figure, legendgroup=group) == count
        own = traces(figure, mode="lines", showlegend=False, legendgroup=ALONE)
        assert {trace["line"]["color"] for trace in own} == {mark.colour}
        shared = traces(figure, mode="lines", showlegend=False, legendgroup=ALL)
        assert mark.colour not in {trace["line"]["color"] for trace in shared}


def test_what_all_have_is_thinner_and_paler_than_what_one_has():
    figure = figure_of("A")
    widest = {
        group: max(
            t["line"]["width"] for t in traces(figure, mode="lines", showlegend=False, legendgroup=group)
        )
        for group in (ALL, SOME, ALONE)
    }
    assert widest[ALL] < widest[SOME] < widest[ALONE]
    assert OPACITIES[ALL] < OPACITIES[SOME] < OPACITIES[ALONE]


def test_the_legend_says_what_the_lines_mean():
    def legend(among: str) -> list[str]:
        figure = figure_of("A", among)
        return [t["name"].split(" (")[0] for t in traces(figure, mode="lines") if t.get("name")]

    assert legend("ABC") == ["only A", "in 2 of 3", "in all 3"]
    assert legend("AB") == ["only A", "in both"]
    assert legend("A") == ["edges"]


def test_pictures_share_their_coordinates():
    first, second = figure_of("A"), figure_of("B")
    assert layout(first).xaxis.range == layout(second).xaxis.range
    assert layout(first).uirevision == layout(second).uirevision
    places = []
    for figure in (first, second):
        found = {}
        for name in ("nodes", "unused nodes"):
            trace = traces(figure, name=name)[0]
            found |= dict(zip(trace["customdata"], zip(trace["x"], trace["y"], strict=True), strict=True))
        places.append(found)
    assert places[0] == places[1]


def test_nodes_of_one_circuit_alone_have_its_colour():
    others = used_nodes(CIRCUITS["B"]) | used_nodes(CIRCUITS["C"])
    alone = {name for name, i in zip(GRAPH.nodes, used_nodes(CIRCUITS["A"]) & ~others, strict=True) if i} - {
        "input",
        "logits",
    }
    nodes = traces(figure_of("A"), name="nodes")[0]
    colour = run_mark(0, LIGHT).colour
    rims = zip(nodes["customdata"], nodes["marker"]["line"]["color"], strict=True)
    assert {name for name, rim in rims if rim == colour} == alone


def test_a_selection_dims_the_rest_also_where_the_edge_is_not_in_the_circuit():
    only = np.flatnonzero(CIRCUITS["B"].kept & ~CIRCUITS["A"].kept)[0]
    edge = GRAPH.edge_names[only]
    lit = [
        trace
        for letter in "AB"
        for trace in traces(figure_of(letter, selected=(edge,)), mode="lines", showlegend=False)
        if trace["opacity"] > DIMMED
    ]
    assert len(lit) == 1
    near = traces(figure_of("A", selected=(edge,)), name="nodes")[0]
    strong = [rim for rim in near["marker"]["line"]["color"] if not rim.startswith("rgba")]
    assert len(strong) <= 2


def test_hover_says_which_circuits_have_an_edge():
    handles = traces(figure_of("A"), name="handles")[0]
    texts = dict(zip(handles["meta"]["edges"], handles["meta"]["hover"], strict=True))
    assert sorted(texts) == sorted(np.array(GRAPH.edge_names)[CIRCUITS["A"].kept])
    for name, text in texts.items():
        i = GRAPH.edge_index[name]
        having = [letter for letter, circuit in CIRCUITS.items() if circuit.kept[i]]
        words = {1: "in A", 2: f"in {' and '.join(having)}", 3: "in A, B and C"}[len(having)]
        assert text.endswith(f"<br>{words}")


def test_titles_are_text_and_not_markup():
    mark, chosen = run_mark(0, LIGHT), {"A": CIRCUITS["A"]}
    figure = compare_figure(CIRCUITS["A"], mark, chosen, ("<b>&", "<i>"), LIGHT)
    assert "&lt;b&gt;&amp;" in layout(figure).annotations[0].text
    assert layout(figure).annotations[1].text == "&lt;i&gt;"


def test_signs_are_dotted():
    signed = figure_of("A", signed=True)
    negative = int((CIRCUITS["A"].scores[CIRCUITS["A"].kept] < 0).sum())
    dotted = [t for t in traces(signed, mode="lines", showlegend=False) if t["line"]["dash"] == "dot"]
    assert sum(int(np.isnan(np.asarray(t["x"], dtype=float)).sum()) for t in dotted) == negative > 0
    assert {t["line"]["dash"] for t in traces(figure_of("A"), mode="lines")} == {"solid"}


def test_an_empty_circuit_is_still_a_picture():
    nothing = Circuit(GRAPH, np.zeros(GRAPH.n_edges, dtype=bool), fake_scores(GRAPH))
    among = {"A": nothing, "B": CIRCUITS["B"]}
    figure = compare_figure(nothing, run_mark(0, LIGHT), among, ("a", "b"), LIGHT)
    assert drawn(figure) == 0
    assert [t["name"] for t in traces(figure, mode="lines")] == ["only A (0)", "in both (0)"]


@pytest.mark.parametrize("scheme", [LIGHT, DARK])
def test_marks_of_many_runs_are_all_different(scheme):
    marks = [run_mark(place, scheme) for place in range(30)]
    assert [marks[place].letter for place in (0, 1, 2, 26)] == ["A", "B", "C", "AA"]
    assert len({mark.letter for mark in marks}) == 30
    assert len({(mark.colour, mark.symbol) for mark in marks}) == 30
    assert len({mark.colour for mark in marks[:6]}) == 6


def test_the_bar_of_two_circuits_shows_their_counts_and_chance():
    first, second = CIRCUITS["A"], CIRCUITS["B"]
    both = {"edges": edge_overlap(first, second), "nodes": node_overlap(first, second)}
    figure = pair_figure(run_mark(0, LIGHT), run_mark(1, LIGHT), both, LIGHT)
    parts = {bar["name"]: bar for bar in traces(figure, type="bar")}
    assert list(parts) == ["only A", "in both", "only B"]
    assert list(parts["in both"]["text"]) == [f"<b>{one.shared}</b>" for one in both.values()]
    lengths = sum(np.asarray(bar["x"], dtype=float) for bar in parts.values())
    assert lengths == pytest.approx(1)
    edges, line = both["edges"], layout(figure).shapes[0]
    either = edges.shared + edges.only_first + edges.only_second
    assert line.x0 == pytest.approx((edges.only_first + edges.expected) / either)


def test_the_bar_of_two_empty_circuits_is_empty():
    nothing = np.zeros(3, dtype=bool)
    figure = pair_figure(run_mark(0, LIGHT), run_mark(1, LIGHT), {"edges": overlap(nothing, nothing)}, LIGHT)
    assert all(list(bar["x"]) == [0] for bar in traces(figure, type="bar"))


def test_the_matrix_is_symmetric_and_empty_where_there_is_no_overlap():
    found = edge_overlap(CIRCUITS["A"], CIRCUITS["B"])
    figure = matrix_figure(["A", "B", "C"], {(0, 1): found}, LIGHT)
    z = np.asarray(traces(figure, type="heatmap")[0]["z"], dtype=float)
    assert z[0, 1] == z[1, 0] == found.jaccard
    assert np.isnan(z[2]).all()
    assert np.isnan(np.diag(z)).all()
    assert [note.text for note in layout(figure).annotations] == [f"{found.jaccard:.2f}"] * 2


def series_of(place: int, seed: int, scheme=LIGHT, at: int | None = None):
    curve = fake_curve(GRAPH, seed, 1 + seed)
    return marked_series(run_mark(place, scheme), f"run <{place}>", curve, scheme, at)


def single(name: str, short: str, symbol: str, **value) -> Single:
    return Single(name, short, Measured.model_validate(made_up(Measured, **value)), LIGHT.ink, symbol)


def test_curves_of_several_runs_are_told_apart_by_colour_and_shape():
    series = [series_of(place, place, at=SIZE) for place in range(3)]
    figure = curves_figure(series, "kl", LIGHT)
    lines = traces(figure, mode="lines+markers")
    assert [line["name"] for line in lines] == ["run &lt;0&gt;", "run &lt;1&gt;", "run &lt;2&gt;"]
    assert len({line["line"]["color"] for line in lines}) == 3
    assert len({line["marker"]["symbol"] for line in lines}) == 3
    bands = traces(figure, name="95 % interval")
    assert [band["legendgroup"] for band in bands] == [line["name"] for line in lines]
    assert all(band["fillcolor"].startswith("rgba") for band in bands)
    marked = traces(figure, name="shown")
    assert [list(mark["y"]) for mark in marked] == [
        [next(point.kl.mean for point in one.curve if point.edges_requested == SIZE)] for one in series
    ]
    assert layout(figure).xaxis.type == layout(figure).yaxis.type == "log"
    assert layout(figure).showlegend


def test_the_axis_holds_every_curve_and_every_circuit():
    series = [series_of(place, place) for place in range(2)]
    far = single("both", "both", "hexagon", n_edges=12, faithfulness=estimate(2.5, 0.5))
    low, high = layout(curves_figure(series, "faithfulness", LIGHT, points=[far])).yaxis.range
    assert low <= 0
    assert high > 3


def test_circuits_of_one_size_are_marks_with_their_intervals():
    kl = {"mean": 0.5, "ci95": [0.4, 0.7], "n": 200}
    both = single("<both>", "∩", "hexagon", n_edges=36, kl=kl)
    figure = curves_figure([], "kl", LIGHT, points=[both])
    mark = traces(figure, mode="markers+text")[0]
    assert (list(mark["x"]), list(mark["y"])) == ([36], [0.5])
    assert list(mark["error_y"]["array"]) == pytest.approx([0.2])
    assert list(mark["error_y"]["arrayminus"]) == pytest.approx([0.1])
    assert "&lt;both&gt;" in mark["hovertext"][0]


def test_a_mark_without_interval_or_under_the_foot_of_the_axis_still_stands():
    kl = {"mean": 0.0, "ci95": [None, None], "n": 1}
    points = [
        single("a", "a", "circle", n_edges=36, kl=kl),
        single("b", "b", "circle", n_edges=0, kl=estimate(3)),
    ]
    marks = traces(curves_figure([], "kl", LIGHT, points=points), mode="markers+text")
    assert [list(mark["y"]) for mark in marks] == [[LEAST_KL]]
    assert "error_y" not in marks[0]


def test_the_full_model_is_a_dashed_line():
    line = layout(curves_figure([series_of(0, 0)], "logit_difference", LIGHT, model=6.0)).shapes[0]
    assert (line.y0, line.y1, line.line.dash) == (6.0, 6.0, "dash")
