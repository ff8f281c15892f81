"""Pictures of lenses: the table of words, lines over layers."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.figures.attention import DARK_SCALE, LIGHT_SCALE
from app.figures.style import DARK, LIGHT
from app.lens.figures.lines import FLOOR, Line, lines_figure
from app.lens.figures.scale import CLOSEST, Scale, stands_out_dark
from app.lens.figures.table import SHARES, Cells, lens_figure, top_text

ROWS, TOKENS = ["L0", "L1", "output"], ["The", " end"]
WORDS = [["a", "b"], ["c", "d"], ["e", "f"]]
VALUES = np.array([[1.0, 10.0], [100.0, np.nan], [1.0, 1.0]])


def traces(figure) -> list[dict[str, Any]]:
    return [trace.to_plotly_json() for trace in figure.data]


def yaxis(figure) -> Any:
    return figure.layout.yaxis


@pytest.mark.parametrize("look", [LIGHT, DARK])
def test_every_cell_has_its_word_and_hover_once_with_a_value_or_without(look):
    cells = Cells(VALUES, WORDS, WORDS)
    drawn = traces(lens_figure(cells, ROWS, TOKENS, "Rank", Scale(1, 100, "log"), look))
    for part, expected in (("text", ["a", "b", "c", "<i>d</i>", "e", "f"]), ("customdata", list("abcdef"))):
        layers = [np.ravel(trace[part]) for trace in drawn]
        assert ["".join(one) for one in zip(*layers, strict=True)] == expected
    coloured = [trace["z"] for trace in drawn if "coloraxis" in trace]
    values = np.nansum(np.array(coloured, float), 0)
    assert values.ravel().tolist() == pytest.approx([0, 0.5, 1, 0, 0, 0])
    (gaps,) = [trace for trace in drawn if "coloraxis" not in trace]
    assert np.isfinite(np.array(gaps["z"], float)).ravel().tolist() == np.isnan(VALUES).ravel().tolist()


@pytest.mark.parametrize("look", [LIGHT, DARK])
def test_words_stand_out_from_their_cells(look):
    """Contrast by WCAG 2, over the whole scale, counted apart from the code: at least 4.5 : 1."""
    colours = LIGHT_SCALE if look is LIGHT else DARK_SCALE
    for share in np.linspace(0, 1, 101):
        channels = []
        for i in (1, 3, 5):
            value = (
                np.interp(share, [c[0] for c in colours], [int(c[1][i : i + 2], 16) for c in colours]) / 255
            )
            channels.append(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)
        ground = 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]
        dark = bool(stands_out_dark(colours, np.array(share)))
        assert ((ground + 0.05) / 0.05 if dark else 1.05 / (ground + 0.05)) >= 4.5


def test_colours_go_by_logarithms_or_roots_and_are_labelled_in_values():
    ticks = Scale(1, 2000, "log").ticks()
    assert ticks["ticktext"] == ["1", "10", "100", "1,000"]
    assert ticks["tickvals"] == pytest.approx([0, *(i / np.log10(2000) for i in (1, 2, 3))])
    assert Scale(1, 6, "log").ticks()["ticktext"] == ["1", "2", "5"]
    assert Scale(1, 1, "log").ticks()["ticktext"] == ["1"]
    root = Scale(0, 50, "root")
    assert root.shares(np.array([0, 12.5, 50])).tolist() == pytest.approx([0, 0.5, 1])
    assert root.shares(np.array([-1, 51, np.nan])).tolist() == pytest.approx([0, 1, np.nan], nan_ok=True)
    assert dict(zip(root.ticks()["ticktext"], root.ticks()["tickvals"], strict=True))["50"] == 1
    assert min(np.diff(sorted(root.ticks()["tickvals"]))) >= CLOSEST
    assert Scale(0, 1).ticks()["ticktext"] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert Scale(0, 0).shares(np.zeros(2)).tolist() == [0, 0]


def test_words_are_shorter_the_narrower_their_cells():
    cells = Cells(np.zeros((1, 16)), [["Constantinople"] * 16], [[""] * 16])
    for look, longest in ((LIGHT, 7), (replace(LIGHT, text=1.5), 5)):
        figure = lens_figure(cells, ["L0"], [" a"] * 16, "", Scale(0, 1), look)
        assert len(traces(figure)[0]["text"][0][0]) == longest


def test_a_bar_stands_for_each_probability():
    said = top_text("L1", " end", [" Seoul", " <b>"], [1.0, 0.5], "KL: 0.1")
    first, second = (line.count("█") for line in said.split("<br>")[1:3])
    assert first == 2 * second > 0
    assert "&lt;b&gt;" in said


def test_a_bar_of_what_is_no_probability_is_no_longer_than_the_longest():
    said = top_text("L1", " end", ["a", "b", "c"], [np.nan, np.inf, 1e9], "")
    assert [line.count("█") for line in said.split("<br>")[1:4]] == [0, SHARES, SHARES]


def test_what_lines_are_compared_with_is_level_and_dashed():
    line = Line("OCA lens", 3, np.array([2.0, 1.0]), np.array([1.5, 0.5]), np.array([2.5, 1.5]))
    model = Line("The model itself", 0, np.array([0.8, 0.8]))
    figure = lines_figure([line], ROWS[:2], "nats", DARK, level=model)
    named = {trace["name"]: trace for trace in traces(figure) if "name" in trace}
    assert list(named) == ["The model itself", "OCA lens"]
    level = named["The model itself"]
    assert (level["mode"], level["line"]["dash"], set(level["y"])) == ("lines", "dash", {0.8})
    assert "95 %: 1.5 to 2.5" in named["OCA lens"]["hovertext"][0]
    assert "95 %" not in level["hovertext"][0]


def test_a_log_axis_ends_where_nothing_is_left_and_says_so():
    line = Line("OCA lens", 3, np.array([2.0, 0.0]))
    figure = lines_figure([line], ROWS[:2], "nats", LIGHT, log=True)
    (drawn,) = traces(figure)
    assert list(drawn["y"]) == [2.0, FLOOR]
    assert "<b>0</b>" in drawn["hovertext"][1]
    assert yaxis(figure).ticktext[0] == f"≤{FLOOR}"
    low, high = yaxis(figure).range
    assert low <= np.log10(FLOOR) < np.log10(2) <= high
    above = lines_figure([Line("OCA lens", 3, np.array([2.0, 0.1]))], ROWS[:2], "nats", LIGHT, log=True)
    assert not any(text.startswith("≤") for text in yaxis(above).ticktext)
