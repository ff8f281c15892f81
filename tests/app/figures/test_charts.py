"""Curve and attention pattern."""

import numpy as np

from app.figures.attention import attention_figure
from app.figures.curve import LEAST_KL, curve_figure
from app.figures.style import DARK, LIGHT, escape
from engine.circuits.graph import Graph
from engine.runs.record import Estimate, Share
from tests.app.fake_run import SIZE, TOKENS, fake_curve

CURVE = fake_curve(Graph(4, 8))


def trace(figure, name):
    return next(t.to_plotly_json() for t in figure.data if t.name == name)


def test_curve_shows_means_and_band_of_every_size():
    figure = curve_figure(CURVE, "kl", LIGHT, at=SIZE)
    line, band = trace(figure, "circuit"), trace(figure, "95 % interval")
    shown = [point for point in CURVE if point.n_edges]
    assert list(line["x"]) == [point.n_edges for point in shown]
    assert list(line["y"]) == [point.kl.mean for point in shown]
    assert all(f"{point.kl.mean:.3g}" in text for point, text in zip(shown, line["text"], strict=True))
    assert list(line["customdata"]) == [point.edges_requested for point in shown]
    assert list(band["y"])[: len(shown)] == [point.kl.ci95[1] for point in shown]
    assert figure.layout.xaxis.type == "log"


def test_curve_marks_the_place_of_the_slider():
    mark = trace(curve_figure(CURVE, "faithfulness", DARK, at=SIZE), "shown")
    point = next(p for p in CURVE if p.edges_requested == SIZE)
    assert (list(mark["x"]), list(mark["y"])) == ([point.n_edges], [point.faithfulness.mean])


def test_curve_leaves_out_sizes_that_pruning_emptied():
    curve = [CURVE[0].model_copy(update={"n_edges": 0}), *CURVE[1:]]
    assert 0 not in trace(curve_figure(curve, "kl", LIGHT), "circuit")["x"]


def test_curve_without_interval_has_no_band_there():
    point = CURVE[-1].model_copy(update={"kl": Estimate(mean=0.1, ci95=[None, None], n=1)})
    figure = curve_figure([*CURVE[:-1], point], "kl", LIGHT)
    shown = len([point for point in CURVE if point.n_edges])
    assert len(trace(figure, "circuit")["x"]) == shown
    assert len(trace(figure, "95 % interval")["x"]) == 2 * (shown - 1)


def test_attention_hides_the_future_and_names_tokens():
    n = len(TOKENS)
    pattern = np.tril(np.full((n, n), 0.5))
    figure = attention_figure(pattern, TOKENS, LIGHT)
    heat = figure.data[0].to_plotly_json()
    z = np.asarray(heat["z"], dtype=float)
    assert np.isnan(z[0, 1])
    assert z[1, 0] == 0.5
    assert figure.layout.xaxis.ticktext[0] == "&lt;|bos|&gt;"
    assert heat["customdata"][2][1] == "Mary → When"


def test_markup_in_tokens_is_escaped():
    assert escape("<b>&") == "&lt;b&gt;&amp;"


def test_kl_of_zero_stands_at_the_foot_of_its_log_axis_and_says_zero():
    curve = [*CURVE[:-1], CURVE[-1].model_copy(update={"kl": Estimate(mean=0.0, ci95=[0.0, 0.0], n=200)})]
    figure = curve_figure(curve, "kl", LIGHT)
    line = trace(figure, "circuit")
    assert figure.layout.yaxis.type == "log"
    assert list(line["y"])[-1] == LEAST_KL
    assert "<b>0</b>" in list(line["text"])[-1]
    assert 10 ** figure.layout.yaxis.range[0] < LEAST_KL


def test_an_undefined_value_is_left_out():
    curve = [
        *CURVE[:-1],
        CURVE[-1].model_copy(update={"faithfulness": Share(mean=None, ci95=[None, None], n=200)}),
    ]
    assert CURVE[-1].n_edges not in trace(curve_figure(curve, "faithfulness", LIGHT), "circuit")["x"]
