"""Methods side by side in one chart."""

import math
from typing import Any

import plotly.graph_objects as go
import pytest

from app.figures.curve import LEAST_KL
from app.figures.style import DARK, LIGHT
from app.sweep.figures.axes import Curve, Spot
from app.sweep.figures.pareto import PUBLISHED, pareto_figure


def spot(edges: float, value: float, key: str = "", **changes) -> Spot:
    return Spot(
        **{
            "edges": edges,
            "share": edges / 1000,
            "value": value,
            "low": value * 0.8,
            "high": value * 1.2,
            "text": f"{edges} <edges>",
            "numbers": (f"KL {value}",),
            "key": key,
        }
        | changes
    )


SPOTS = [spot(0, 2.0, "a,0"), spot(10, 1.0, "a,10"), spot(1000, 0.0, "a,1000")]
EAP = Curve("EAP", "Mean", "#0072B2", "circle", "dash", SPOTS)
UGS = Curve("UGS", "Zero", "#D55E00", "square", "solid", SPOTS, path=[spot(50, 0.3, "u,0"), spot(0, 2)])
RANDOM = Curve("Random", "Zero", "#5F6B76", "circle", "solid", SPOTS, baseline=True)
PAPER = Curve(
    "UGS", "Mean", "#D55E00", "circle", "dot", [spot(30, 0.5), spot(90, 0.7), spot(60, 0.2, low=None)]
)


def trace(figure, name: str) -> dict:
    found = [one for one in traces(figure) if one.name == name]
    assert len(found) == 1, name
    return found[0].to_plotly_json()


def layout(figure: go.Figure) -> Any:
    """The layout, of whose parts plotly declares no types."""
    return figure.layout


def traces(figure: go.Figure) -> Any:
    """The traces, of which plotly declares no types."""
    return figure.data


def test_a_line_has_the_means_over_share_of_edges_and_reports_what_is_clicked():
    line = trace(pareto_figure([EAP], "kl", LIGHT), "EAP, Mean")
    assert list(line["x"]) == [1.0, 100.0], "a circuit without edges is not on a log axis"
    assert list(line["y"]) == [1.0, LEAST_KL]
    assert list(line["customdata"]) == ["a,10", "a,1000"]
    assert (line["line"]["color"], line["line"]["dash"]) == ("#0072B2", "dash")
    assert "10 &lt;edges&gt;" in line["text"][0]


def test_on_a_linear_axis_of_edges_circuits_without_edges_are_shown():
    figure = pareto_figure([EAP], "faithfulness", LIGHT, shares=False, log=False)
    line = trace(figure, "EAP, Mean")
    assert list(line["x"]) == [0, 10, 1000]
    assert list(line["y"]) == [2.0, 1.0, 0.0]
    assert layout(figure).xaxis.type == "linear"
    assert layout(figure).xaxis.tickvals is None
    low, high = layout(figure).xaxis.range
    assert low < 0 < 1000 < high


def test_the_axes_hold_everything():
    figure = pareto_figure([EAP, UGS], "kl", LIGHT, published=[PAPER])
    low, high = layout(figure).xaxis.range
    assert low < math.log10(1) < math.log10(100) < high
    assert 10 ** layout(figure).yaxis.range[1] > 1.2


def test_bands_go_from_the_lowest_to_the_highest_and_that_of_random_lies_behind():
    figure = pareto_figure([EAP, RANDOM], "kl", LIGHT)
    bands = [one.to_plotly_json() for one in traces(figure) if one.name == "band"]
    assert [band["legendgroup"] for band in bands] == ["Random", "EAP"]
    assert list(bands[1]["y"]) == pytest.approx([1.2, LEAST_KL, LEAST_KL, 0.8])
    grey, blue = (float(band["fillcolor"].rstrip(")").split(",")[-1]) for band in bands)
    assert grey > blue


def test_circuits_that_a_method_chose_are_marks_without_a_line():
    marks = trace(pareto_figure([UGS], "kl", LIGHT), "UGS, Zero: own circuits")
    assert marks["mode"] == "markers"
    assert (list(marks["x"]), list(marks["y"]), list(marks["customdata"])) == ([5.0], [0.3], ["u,0"])


def test_what_is_published_is_thin_dotted_and_named():
    figure = pareto_figure([EAP], "kl", DARK, published=[PAPER])
    line = trace(figure, f"UGS, Mean: {PUBLISHED}, best so far")
    assert list(line["x"]) == [3.0, 6.0, 9.0]
    assert list(line["y"]) == [0.5, 0.2, 0.2]
    assert line["line"]["dash"] == "dot"
    assert line["line"]["width"] < 2
    dots = trace(figure, f"UGS, Mean: {PUBLISHED}")
    assert list(dots["y"]) == [0.5, 0.2, 0.7]
    assert PUBLISHED in dots["hovertemplate"]


def test_the_legends_name_methods_ablations_and_the_paper_once():
    other = Curve("EAP", "Zero", "#0072B2", "circle", "solid", SPOTS)
    figure = pareto_figure([RANDOM, EAP, other, UGS], "kl", LIGHT, published=[PAPER])
    shown = [one for one in traces(figure) if one.showlegend is not False]
    names = {
        legend: [one.name for one in shown if (one.legend or "legend") == legend]
        for legend in ("legend", "legend2")
    }
    assert names["legend"] == ["EAP", "UGS", "Random"]
    assert names["legend2"] == ["Zero", "Mean", "chosen by the method", "UGS", "Mean"]
    titles = [one.legendgrouptitle.text for one in shown if one.legend == "legend2"]
    assert titles == ["ablation"] * 3 + [PUBLISHED] * 2
    group = {one.legendgroup for one in traces(figure) if one.name.startswith("EAP")}
    assert group == {"EAP"}, "a click on a method hides all that is its own"


def test_names_of_others_are_escaped():
    wild = Curve("<b>M", "a&b", "#0072B2", "circle", "solid", SPOTS)
    names = [one.name for one in traces(pareto_figure([wild], "kl", LIGHT))]
    assert "&lt;b&gt;M, a&amp;b" in names
    assert not any("<" in name for name in names)
