"""The figures of the page "Causal tracing": stars, intervals, axes."""

from typing import Any

import numpy as np
import pytest

from app.figures.style import LIGHT
from app.trace.figures.lines import Profile, intervals_figure, profiles_figure
from app.trace.figures.map import MOST_NUMBERS, map_figure


def profile(mean: list[float], starred: np.ndarray | None = None) -> Profile:
    values = np.array(mean)
    return Profile("One", "#0072B2", "circle", values, values - 0.1, values + 0.2, starred)


def named(figure: Any) -> Any:
    """The one trace with a name: lines have one, bands have not."""
    (found,) = (trace for trace in figure.data if trace.name)
    return found


def written(figure: Any) -> dict[tuple[int, int], str]:
    """What stands in the cells of a map, by layer and column."""
    return {(note.y, note.x): note.text for note in figure.layout.annotations}


def test_a_star_stands_beside_the_number_of_its_cell():
    grid = np.array([[0.5, -0.25], [0.0, np.nan]])
    stars = np.array([[False, True], [False, True]])
    figure = map_figure(grid, ["a", "b"], 0.5, LIGHT, difference=True, starred=stars)
    assert written(figure) == {(0, 0): ".50", (0, 1): "−.25*", (1, 0): "0"}


def test_where_there_are_too_many_numbers_stars_stand_alone():
    grid = np.full((MOST_NUMBERS + 1, 1), 0.3)
    stars = np.zeros(grid.shape, dtype=bool)
    stars[[2, 7]] = True
    assert written(map_figure(grid, ["a"], 0.5, LIGHT, difference=True, starred=stars)) == {
        (2, 0): "*",
        (7, 0): "*",
    }
    assert written(map_figure(grid, ["a"], 0.5, LIGHT)) == {}


def test_numbers_that_would_all_round_to_0_are_left_out():
    grid = np.array([[0.004, -0.003]])
    stars = np.array([[True, False]])
    assert written(map_figure(grid, ["a", "b"], 0.004, LIGHT, difference=True, starred=stars)) == {
        (0, 0): "*"
    }
    assert set(written(map_figure(grid, ["a", "b"], 0.5, LIGHT)).values()) == {"0"}


def test_a_profile_has_stars_above_their_layers():
    starred = np.array([False, False, True])
    line = named(profiles_figure([profile([0.1, np.nan, 0.3], starred)], "effect", LIGHT))
    assert list(zip(line.x, line.text, strict=True)) == [(0, ""), (2, "*")]
    assert named(profiles_figure([profile([0.1])], "effect", LIGHT)).text is None


def test_lines_stand_where_they_are_put_and_over_layers_if_nowhere():
    figure: Any = profiles_figure([profile([0.1, np.nan, 0.3])], "p", LIGHT, "noise", [0.5, 1, 8])
    assert list(named(figure).x) == [0.5, 8]
    low, high = figure.layout.xaxis.range
    assert low < 0.5
    assert high > 8
    assert (figure.layout.xaxis.title.text, list(figure.layout.xaxis.tickvals)) == ("noise", [0.5, 1, 8])
    figure = profiles_figure([profile([0.1, 0.2, 0.3])], "p", LIGHT)
    assert (list(figure.layout.xaxis.tickvals), list(figure.layout.xaxis.range)) == (
        [0, 1, 2],
        pytest.approx([-0.3, 2.3]),
    )


@pytest.mark.parametrize("means", [[[0.5, 0.2], [0.3, 0.9]], [[-0.5, -0.2], [-0.3, np.nan]], [[0.0, 0.0]]])
def test_intervals_and_0_are_within_the_axis(means):
    profiles = [profile(mean) for mean in means]
    figure: Any = intervals_figure(["a", "b"], profiles, "effect", LIGHT)
    low, high = figure.layout.xaxis.range
    ends = np.concatenate([[0.0], *([one.low, one.high] for one in profiles)], axis=None)
    assert low < np.nanmin(ends)
    assert high > np.nanmax(ends)


def test_an_axis_whose_ends_are_known_has_them():
    figure: Any = intervals_figure(["a"], [profile([1.2])], "layers", LIGHT, (1, 12))
    low, high = figure.layout.xaxis.range
    assert (low < 1, high > 12, low > 0) == (True, True, True)
