"""The figures of the page "Ablations": what is drawn is what was measured."""

import math
from typing import Any

import numpy as np
import pytest

from app.figures.components import ablation_mark, log_axis, tick_text
from app.figures.style import DARK, LIGHT
from app.importance.figures.bars import Costs, bars_figure, one_component_figure
from app.importance.figures.grid import Cell, cell_text, grid_figure
from app.importance.figures.prompts import prompts_figure
from app.importance.figures.ratios import FOOT, TOP, RatioRow, ratio_figure
from app.importance.figures.scatter import MOST_INTERVALS, agreement_figure, scatter_figure
from app.importance.figures.training import training_figure
from engine.ablations.base import ablations
from engine.instruments.importance.comparison import LEAST, Agreement, gaps, ratios

NODES = ["a0.h0", "a0.h1", "m0"]


def costs(
    name="mean (per position)",
    mean=(0.5, 0.002, 2.0),
    ablation="mean",
    conditioning: str | None = "per position",
):
    mean = np.array(mean, dtype=float)
    return Costs(name, ablation_mark(ablation, conditioning, LIGHT), mean, mean / 2, mean * 2)


def layout(figure: Any) -> Any:
    return figure.layout


def data(figure: Any) -> list[dict]:
    return [t.to_plotly_json() for t in figure.data]


def trace(figure: Any, name: str) -> dict:
    return next(t for t in data(figure) if t["name"] == name)


def floats(values) -> list[float]:
    return [float(value) for value in values]


@pytest.mark.parametrize("scheme", [LIGHT, DARK])
def test_no_two_ablations_are_drawn_alike_and_shared_ones_are_open_and_hatched(scheme):
    marks = [ablation_mark(name, None, scheme) for name in ablations.names()]
    assert len({mark.colour for mark in marks}) == len(marks)
    assert len({mark.symbol for mark in marks}) == len(marks)
    own, shared = (ablation_mark("mean", kind, scheme) for kind in ("per position", "shared"))
    assert own.colour == shared.colour
    assert (own.symbol + "-open", own.pattern, shared.pattern) == (shared.symbol, "", "/")


def test_a_log_axis_holds_every_value_and_has_ticks_within():
    for values in ([0.3, 0.6], [1e-5, 20.0], [0.0, 3.0], [2.0, 2.0], [math.nan], [1e-9]):
        axis = log_axis(values, "Δ", LIGHT)
        low, high = axis["range"]
        assert high > low
        assert len(axis["tickvals"]) >= 2
        assert all(low <= math.log10(tick) <= high for tick in axis["tickvals"])
        heights = [math.log10(max(value, LEAST)) for value in values if math.isfinite(value)]
        assert all(low <= at <= high for at in heights)


def test_ticks_are_short():
    assert [tick_text(tick) for tick in (LEAST, 1e-5, 2e-4, 0.001, 0.02, 1, 50)] == [
        "≤10⁻⁶",
        "10⁻⁵",
        "2·10⁻⁴",
        "0.001",
        "0.02",
        "1",
        "50",
    ]


def test_numbers_in_cells_are_short():
    texts = [cell_text(value) for value in (0, 5e-6, 0.00096, 0.0031, 0.27, 4.23, 20.1)]
    assert texts == ["0", "5e-6", "1e-3", "0.0031", "0.27", "4.2", "20"]
    assert max(map(len, texts)) <= 6


CELLS = {
    "input": Cell(-1, None, 20.0, "95 %: 19 – 21"),
    "a0.h0": Cell(0, 0, 1e-3, "95 %: 0 – 0.1"),
    "a0.h1": Cell(0, 1, 0.1, "no interval"),
    "m0": Cell(0, None, 4.0, "95 %: 3 – 5"),
    "a1.h1": Cell(1, 1, 0.0, "95 %: 0 – 0"),
}


def test_the_grid_puts_layers_up_heads_across_mlps_beside_and_the_input_below():
    figure = grid_figure(CELLS, (1e-4, 20.0), LIGHT, selected=("m0", "gone"))
    heads, mlps, below = (trace(figure, name) for name in ("heads", "MLPs", "input"))
    assert heads["customdata"] == [["a0.h0", "a0.h1"], ["", "a1.h1"]]
    z = np.asarray(heads["z"])
    assert floats(z[0]) == pytest.approx([-3, -1])
    assert np.isnan(z[1, 0])
    assert z[1, 1] == pytest.approx(math.log10(LEAST))
    assert mlps["x0"] > 1.4
    assert below["y0"] < -1
    assert "20 nats" in below["text"][0][0]
    assert "95 %: 19 – 21" in below["text"][0][0]
    (ring,) = layout(figure).shapes
    assert (ring.x0 + ring.x1) / 2 == pytest.approx(mlps["x0"])
    assert [note.text for note in layout(figure).annotations] == ["20", "0.001", "0.1", "4", "0"]


def test_the_colours_of_the_grid_are_the_span_given_whatever_is_shown():
    spans = [
        layout(grid_figure(cells, (1e-4, 20.0), LIGHT)).coloraxis
        for cells in (CELLS, {"a0.h0": CELLS["a0.h0"]})
    ]
    assert spans[0].cmin == spans[1].cmin == -4
    assert spans[0].cmax == spans[1].cmax == pytest.approx(math.log10(20))


def test_a_wide_model_has_no_numbers_in_its_cells():
    cells = {f"a0.h{head}": Cell(0, head, 0.1, "") for head in range(12)}
    assert not layout(grid_figure(cells, (1e-4, 1.0), DARK)).annotations


def test_bars_of_one_component_have_their_intervals_and_names():
    own = costs(mean=[0.5])
    shared = costs("mean (shared)", [2.0], conditioning="shared")
    figure = one_component_figure([own, shared], LIGHT)
    first, second = data(figure)
    assert (list(first["y"]), floats(first["x"])) == (["mean (per position)"], [0.5])
    assert floats(first["error_x"]["array"]) == [0.5]
    assert floats(first["error_x"]["arrayminus"]) == [0.25]
    assert "95 %: 0.25 – 1" in first["hovertext"][0]
    assert second["marker"]["pattern"]["shape"] == "/"
    assert layout(figure).xaxis.type == "log"
    assert "nats" in layout(figure).xaxis.title.text


def test_bars_of_several_components_carry_them_and_bold_the_selected():
    figure = bars_figure(NODES, [costs(), costs("zero", (1, 2, 3), "zero", None)], LIGHT, ("m0",))
    assert [t["name"] for t in data(figure)] == ["mean (per position)", "zero"]
    assert all(list(t["customdata"]) == NODES for t in data(figure))
    assert list(layout(figure).xaxis.ticktext) == ["a0.h0", "a0.h1", "<b>m0</b>"]
    assert layout(figure).yaxis.type == "log"


def test_a_component_that_was_not_measured_has_no_bar():
    figure = bars_figure(NODES, [costs(mean=(0.5, math.nan, 2.0))], LIGHT)
    y = floats(data(figure)[0]["y"])
    assert math.isnan(y[1])
    assert all(math.isfinite(x) for x in floats(data(figure)[0]["error_y"]["array"]))


def test_the_scatter_has_one_scale_on_both_axes_and_the_line_of_equal_cost():
    x, y = costs(), costs("zero", (0.1, 3e-5, 9.0), "zero", None)
    figure = scatter_figure(NODES, x, y, LIGHT, selected=["a0.h1"])
    assert list(layout(figure).xaxis.range) == list(layout(figure).yaxis.range)
    line = trace(figure, "equal")
    assert floats(line["x"]) == floats(line["y"])
    points = trace(figure, "components")
    assert floats(points["x"]) == [0.5, 0.002, 2.0]
    assert floats(points["y"]) == [0.1, 3e-5, 9.0]
    assert list(points["marker"]["symbol"]) == ["circle", "circle", "square"]
    assert "a0.h1" in points["text"]  # selected, though it costs least
    assert layout(figure).xaxis.title.text == "Δ under mean (per position) (nats)"
    assert layout(figure).yaxis.title.text == "Δ under zero (nats)"


def test_the_scatter_leaves_out_what_one_of_the_two_lacks_and_names_do_not_overlap():
    figure = scatter_figure(
        NODES, costs(mean=(1, 1, 1)), costs("zero", (2, math.nan, 2.001), "zero", None), LIGHT
    )
    points = trace(figure, "components")
    assert list(points["customdata"]) == ["a0.h0", "m0"]
    assert sorted(points["text"]) == ["", "m0"]


def test_a_large_model_has_no_intervals_in_its_scatter():
    n = MOST_INTERVALS + 1
    many = costs(mean=np.linspace(0.1, 1, n))
    figure = scatter_figure([f"a0.h{i}" for i in range(n)], many, many, LIGHT)
    assert trace(figure, "components").get("error_x") is None


def test_the_matrix_is_symmetric_and_says_more_on_hover():
    agreed = Agreement(0.87, (0.8, 0.9), 0.9, (0.85, 0.95), 36, 36)
    other = Agreement(None, None, None, None, 2, 2)
    figure = agreement_figure(["mean", "zero", "<x>"], {(0, 1): agreed, (0, 2): other}, LIGHT, chosen=(1, 0))
    heat = data(figure)[0]
    z = np.asarray(heat["z"])
    assert z[0, 1] == z[1, 0] == 0.87
    assert np.isnan(z[0, 2])
    assert np.isnan(np.diag(z)).all()
    assert heat["customdata"][1][0] == "0,1"
    assert "Spearman 0.870 (95 %: 0.80 – 0.90)" in heat["text"][0][1]
    assert [note.text for note in layout(figure).annotations] == [".87", ".87"]
    assert layout(figure).yaxis.ticktext[2].startswith("&lt;x&gt;")
    (ring,) = layout(figure).shapes
    assert (ring.x0, ring.y0) == (0.5, -0.5)


def test_ratios_have_marks_quartiles_median_and_the_paper_where_it_says_something():
    first, second = np.array([0.1, 0.4, 1.0, 900.0]), np.array([1.0, 1.0, 1.0, 1.0])
    ratios_of_two = ratios(gaps(first), gaps(second))
    rows = [
        RatioRow("zero", ablation_mark("zero", None, LIGHT), ratios_of_two, 0.111),
        RatioRow("mean (shared)", ablation_mark("mean", "shared", LIGHT), ratios_of_two),
    ]
    figure = ratio_figure(["a0.h0", "a0.h1", "m0", "m1"], rows, "optimal", LIGHT, ["m0"])
    zero = trace(figure, "zero")
    assert floats(zero["x"]) == pytest.approx([0.1, 0.4, 1.0, TOP])  # what is beyond stands at the end
    assert "900" in zero["hovertext"][3]
    assert list(zero["customdata"]) == ["a0.h0", "a0.h1", "m0", "m1"]
    assert floats(trace(figure, "median here, 95 % over prompts")["x"]) == pytest.approx([0.7, 0.7])
    paper = trace(figure, "median in the paper, GPT-2 small on IOI: another model")
    assert floats(paper["x"]) == [0.111]
    assert round(float(paper["y"][0])) == 0
    boxes = [shape for shape in layout(figure).shapes if shape.type == "rect"]
    assert [box.x0 for box in boxes] == pytest.approx([0.325, 0.325])
    assert [box.x1 for box in boxes] == [TOP, TOP]
    assert any(shape.x0 == 1 and shape.x1 == 1 for shape in layout(figure).shapes)
    assert "≥100" in layout(figure).xaxis.ticktext


def test_ratios_without_a_number_of_the_paper_do_not_mention_it():
    ratios_of_two = ratios(gaps(np.array([0.0, 0.5])), gaps(np.array([1.0, 1.0])))
    figure = ratio_figure(
        NODES[:2], [RatioRow("x", ablation_mark("x", None, DARK), ratios_of_two)], "optimal", DARK
    )
    assert not [t for t in data(figure) if "paper" in t["name"]]
    assert floats(trace(figure, "x")["x"]) == [FOOT, 0.5]


def test_prompts_are_all_drawn_with_quartiles_and_mean():
    kl = np.array([0.0, 1.0, 2.0, 9.0])
    figure = prompts_figure([("zero", ablation_mark("zero", None, LIGHT), kl)], LIGHT)
    assert floats(trace(figure, "zero")["x"]) == pytest.approx([LEAST, 1, 2, 9])
    assert "prompt 4: <b>9 nats</b>" in trace(figure, "zero")["hovertext"][3]
    assert floats(trace(figure, "mean over prompts (Δ)")["x"]) == [3.0]
    box, middle = layout(figure).shapes
    assert (box.x0, box.x1) == pytest.approx((0.75, 3.75), abs=1e-5)
    assert middle.x0 == middle.x1 == 1.5


def test_the_training_shows_all_three_curves():
    history = {"step": [0, 20], "validation": [0.6, 0.7], "best": [0.6, 0.6], "moved": [0.0, 0.1]}
    figure = training_figure(history, DARK)
    assert [floats(t["y"]) for t in data(figure)] == [[0.6, 0.7], [0.6, 0.6], [0.0, 0.1]]
    assert [t["yaxis"] for t in data(figure)] == ["y", "y", "y2"]
    assert "nats" in layout(figure).yaxis.title.text
