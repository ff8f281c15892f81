"""What a chart of methods side by side is made of: circuits as spots, and where they stand."""

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
        value: of the metric, the mean over seeds.
        low, high: what its band goes from and to.
        text: over its numbers, one line, plain.
        numbers: the numbers in words, lines of plain text.
        key: what a click on it reports.
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
    """What one method finds under one ablation.

    Attributes:
        method: its title.
        ablation: title and conditioning, what the dashes tell apart.
        colour, symbol: of the method; the symbol of what is published is of the ablation.
        dash: of the ablation.
        spots: at the sizes of a ranking, or of all published circuits.
        path: circuits that the method chose itself.
        baseline: random scores: a band of its own, behind the others.
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
    """How values of a metric over edges become places.

    Attributes:
        metric: "kl" is on a log axis.
        shares: edges as a share of all edges, in per cent.
        log: edges on a log axis, which circuits without edges are not on.
    """

    metric: str
    shares: bool
    log: bool

    def x(self, spot: Spot) -> float:
        """Return where a spot stands across."""
        return 100 * spot.share if self.shares else spot.edges

    def y(self, value: float) -> float:
        """Return where a value stands."""
        return height(value, self.metric)

    def seen(self, spots: Sequence[Spot]) -> list[Spot]:
        """Return the spots that are on the axis."""
        return [spot for spot in spots if spot.edges > 0 or not self.log]

    def x_axis(self, shown: Sequence[Spot]) -> dict[str, Any]:
        """Return the axis across, which holds all that is shown."""
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
