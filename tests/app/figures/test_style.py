"""The look of all figures: large type for a beamer reaches every text."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from app.figures.attention import attention_figure
from app.figures.curve import curve_figure
from app.figures.graph import circuit_figure
from app.figures.style import LARGE, Look, look
from app.stability.figures.stability import SEED, SpreadMark, frequency_figure, jaccard_figure, spread_figure
from app.sweep.figures.axes import Curve, Spot
from app.sweep.figures.pareto import pareto_figure
from engine.circuits.circuit import top_edges
from engine.circuits.graph import Graph
from engine.runs.record import Estimate
from tests.app.fake_run import TOKENS, estimate, fake_curve, fake_scores

GRAPH = Graph(4, 8)
SCORES = fake_scores(GRAPH)
MARK = SpreadMark("seed 1", SEED, Estimate(**estimate(0.1)))
SPOT = Spot(10, 0.01, 0.5, 0.4, 0.6, "10 edges")
FIGURES: dict[str, Callable[[Look], go.Figure]] = {
    "graph": lambda scheme: circuit_figure(top_edges(GRAPH, SCORES, 150), scheme),
    "curve": lambda scheme: curve_figure(fake_curve(GRAPH), "kl", scheme),
    "pareto": lambda scheme: pareto_figure(
        [Curve("EAP", "Mean", "#0072B2", "circle", "solid", [SPOT], [SPOT])],
        "kl",
        scheme,
        published=[Curve("UGS", "Mean", "#D55E00", "circle", "dot", [SPOT])],
    ),
    "spread": lambda scheme: spread_figure([MARK], "kl", scheme),
    "jaccard": lambda scheme: jaccard_figure(["a", "b"], [[1, 0.3], [0.3, 1]], 0.1, scheme),
    "frequency": lambda scheme: frequency_figure([5, 2, 8], scheme),
    "attention": lambda scheme: attention_figure(np.eye(len(TOKENS)), TOKENS, scheme),
}


def font_sizes(part: Any, name: str = "") -> Iterator[float]:
    """Every font size in a figure, in the order of the figure."""
    if isinstance(part, dict):
        if "font" in name and "size" in part:
            yield part["size"]
        for key, value in part.items():
            yield from font_sizes(value, key)
    elif isinstance(part, list):
        for value in part:
            yield from font_sizes(value)


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_large_type_reaches_every_text_of_a_figure(name: str, mode: str):
    plain, large = (
        list(font_sizes(FIGURES[name](look(mode, large)).to_plotly_json())) for large in (False, True)
    )
    assert len(plain) == len(large) > 2
    growth = [new / old for new, old in zip(large, plain, strict=True)]
    assert min(growth) >= 1.2
    assert max(growth) == pytest.approx(LARGE)


def test_large_type_changes_no_colour():
    plain, large = look("dark"), look("dark", large=True)
    assert (large.text, plain.text) == (LARGE, 1)
    assert {**vars(plain), "text": LARGE} == vars(large)
