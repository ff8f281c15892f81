"""What model and circuit predict, and what a node costs, as pictures."""

from typing import Any

import plotly.graph_objects as go

from app.explore.figures.effects import importance_figure
from app.explore.figures.predictions import predictions_figure
from app.figures.style import DARK, LIGHT
from engine.runs.record import Estimate
from tests.app.fake_run import estimate


def bars(figure: go.Figure) -> Any:
    """Its traces; plotly's types know only their base."""
    return figure.data


def test_every_token_has_a_pair_of_bars_best_first():
    model, circuit = [(" Mary", 0.6), (" John", 0.3)], [(" John", 0.7), (" <b>", 0.2)]
    figure = predictions_figure(model, circuit, LIGHT)
    layout: Any = figure.layout
    assert list(layout.yaxis.ticktext) == ["John", "Mary", "&lt;b&gt;"]
    shares = {bar.name: list(bar.x) for bar in bars(figure)}
    assert shares == {"model": [0.3, 0.6, None], "circuit": [0.7, None, 0.2]}


def test_tokens_that_look_alike_stay_apart():
    alike = [("\ufffd", 0.5), ("\ufffd", 0.2)]
    figure = predictions_figure(alike, alike[:1], DARK)
    assert [list(bar.x) for bar in bars(figure)] == [[0.5, 0.2], [0.5, None]]


def test_importance_has_a_bar_with_its_interval_for_every_ablation():
    losses = {
        "Mean": Estimate.model_validate(estimate(0.5, 0.1)),
        "One prompt": Estimate(mean=0.2, ci95=[None, None], n=1),
    }
    (drawn,) = bars(importance_figure(losses, LIGHT))
    assert list(drawn.x) == [0.5, 0.2]
    assert [round(x, 6) for x in drawn.error_x.array] == [0.1, 0]
    assert [round(x, 6) for x in drawn.error_x.arrayminus] == [0.1, 0]
    assert "no interval" in drawn.text[1]
