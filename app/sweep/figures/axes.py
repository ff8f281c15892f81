"""Points, curves and axes of the chart that compares methods."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.figures.curve import TICKS, height

SHARES = {0.01: "0.01", 0.03: "0.03", 0.1: "0.1", 0.3: "0.3", 1: "1", 3: "3", 10: "10", 30: "30", 100: "100"}


@dataclass(frozen=True)
class Spot:
    """One circuit, or the circuits of one size of several seeds.

    Attributes:
        edges: how many edges are left, the mean over seeds.
        share: the same as a part of the graph, from 0 to 1.
        value: value of the metric, the mean over seeds.
        low, high: ends of its band.
        text: first line of its hover text, plain.
        numbers: further lines of its hover text, plain.
        key: id that a click on it reports.
    """

    edges: float
    share: float
    value: float
    low: float | None
    high: float | None
    text: str
    numbers: Sequence[str] = ()
    key: str = ""


@dataclass(frozen=True)
class Curve:
    """Circuits of one method under one ablation.

    Attributes:
        method: title of the method.
        ablation: title and conditioning of the ablation.
        colour, symbol: those of the method; a published curve has the symbol of its ablation.
        dash: dashes of the ablation.
        spots: circuits at the sizes of a ranking, or all published circuits.
        path: circuits that the method chose itself.
        baseline: whether these are random scores, drawn behind the others.
    """

    method: str
    ablation: str
    colour: str
    symbol: str
    dash: str
    spots: Sequence[Spot]
    path: Sequence[Spot] = ()
    baseline: bool = False


@dataclass(frozen=True)
class Axes:
    """The axes of a metric over edges.

    Attributes:
        metric: the metric; "kl" has a log axis.
        shares: whether edges are given as a share of all edges, in per cent.
        log: whether edges have a log axis, on which circuits without edges are not drawn.
    """

    metric: str
    shares: bool
    log: bool

    def x(self, spot: Spot) -> float:
        """Return the x coordinate of a spot."""
        return 100 * spot.share if self.shares else spot.edges

    def y(self, value: float) -> float:
        """Return the y coordinate of a value."""
        return height(value, self.metric)

    def seen(self, spots: Sequence[Spot]) -> list[Spot]:
        """Return the spots that the axes can show."""
        return [spot for spot in spots if spot.edges > 0 or not self.log]

    def x_axis(self, shown: Sequence[Spot]) -> dict[str, Any]:
        """Return the x axis, which holds all spots shown."""
        words = "edges in the circuit"
        title = f"{words}, % of all edges" if self.shares else words
        ends = [self.x(spot) for spot in shown] or [1.0, 100.0]
        if not self.log:
            whole = {"range": [-0.02 * max(ends), 1.02 * max(ends)], "tickvals": None, "nticks": 8}
            return {"type": "linear", "title": {"text": title}, "ticktext": None} | whole
        low, high = math.log10(min(ends)), math.log10(max(ends))
        room = 0.03 * (high - low) or 0.1
        ticks = SHARES if self.shares else TICKS
        return {
            "range": [low - room, high + room],
            "title": {"text": title},
            "tickvals": list(ticks),
            "ticktext": list(ticks.values()),
        }
