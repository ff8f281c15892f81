"""How a repeated discovery came out, in pictures."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from app.figures.style import DARK, LIGHT
from app.stability.figures.stability import (
    ITSELF,
    MOST_WRITTEN,
    ON_PART,
    SEED,
    WITHOUT,
    SpreadMark,
    frequency_figure,
    jaccard_figure,
    spread_figure,
)
from engine.runs.record import Estimate, Share
from tests.app.fake_run import estimate


def mark(line: str, kind: str, mean: float) -> SpreadMark:
    return SpreadMark(line, kind, Estimate(**estimate(mean)))


MARKS = [
    mark("this circuit", ITSELF, 0.10),
    mark("seed <1>", SEED, 0.20),
    SpreadMark("seed 2", SEED, Estimate(mean=0.3, ci95=[None, None], n=1)),
    mark("part 1", WITHOUT, 0.4),
    mark("part 1", ON_PART, 0.15),
]


def layout(figure: go.Figure) -> Any:
    """The layout, of whose parts plotly declares no types."""
    return figure.layout


def marks(figure: go.Figure) -> dict[str, dict[str, Any]]:
    traces: Any = figure.data
    return {one.name: one.to_plotly_json() for one in traces}


def test_every_repeat_has_a_line_with_its_interval():
    figure = spread_figure(MARKS, "kl", LIGHT)
    seeds = marks(figure)[SEED]
    assert (list(seeds["x"]), list(seeds["y"])) == ([0.2, 0.3], [1, 2])
    assert list(seeds["error_x"]["array"]) == pytest.approx([0.02, 0.0]), "one prompt has no interval"
    assert layout(figure).yaxis.ticktext == ("this circuit", "seed &lt;1&gt;", "seed 2", "part 1")
    assert layout(figure).xaxis.rangemode == "tozero"


def test_a_part_has_the_circuit_found_without_it_beside_the_circuit_itself():
    found = marks(spread_figure(MARKS, "kl", DARK))
    without, on_part = found[WITHOUT], found[ON_PART]
    assert (list(without["x"]), list(on_part["x"])) == ([0.4], [0.15])
    (above,), (below,) = without["y"], on_part["y"]
    assert 2.5 < above < 3 < below < 3.5
    assert without["marker"]["symbol"] != on_part["marker"]["symbol"]


def test_what_is_undefined_is_left_out():
    nothing = SpreadMark("seed 1", SEED, Share(mean=None, ci95=[None, None], n=9))
    assert SEED not in marks(spread_figure([MARKS[0], nothing], "faithfulness", LIGHT))


def test_overlaps_are_written_into_their_cells_and_chance_on_the_scale():
    jaccard = [[1.0, 0.25, 0.9], [0.25, 1.0, 0.5], [0.9, 0.5, 1.0]]
    figure = jaccard_figure(["a", "<b>", "c"], jaccard, 0.31, LIGHT)
    heat = figure.data[0].to_plotly_json()
    values = np.array(heat["z"], dtype=float)
    assert np.isnan(values.diagonal()).all()
    assert values[0].tolist()[1:] == [0.25, 0.9]
    notes = {(note.x, note.y): note.text for note in layout(figure).annotations}
    assert notes[1, 0] == "0.25"
    assert len(notes) == 6
    assert "&lt;b&gt; and c" in heat["customdata"][1]
    ticks = dict(zip(heat["colorbar"]["tickvals"], heat["colorbar"]["ticktext"], strict=True))
    assert ticks[0.31] == "0.31 by chance"
    assert {0, 1} < set(ticks)
    assert 0.5 not in ticks, "it would lie over the other"


def test_without_chance_the_scale_has_its_round_numbers():
    bar = jaccard_figure(["a", "b"], [[1, 0.5], [0.5, 1]], None, LIGHT).data[0].to_plotly_json()["colorbar"]
    assert list(bar["ticktext"]) == ["0", "0.5", "1"]


def test_of_very_many_circuits_no_numbers_are_written():
    n = MOST_WRITTEN + 1
    figure = jaccard_figure([str(i) for i in range(n)], np.full((n, n), 0.5).tolist(), 0.1, LIGHT)
    assert not layout(figure).annotations


def test_edges_are_counted_by_how_many_circuits_keep_them():
    bar = frequency_figure([7, 3, 12], LIGHT).data[0].to_plotly_json()
    assert (list(bar["x"]), list(bar["y"])) == ([1, 2, 3], [7, 3, 12])
    assert list(bar["marker"]["color"]) == [LIGHT.muted, LIGHT.muted, LIGHT.accent]
