"""Colour scales of the tables of lenses: position of values, ticks, and readable colours of text."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

EVEN = 0.179  # luminance (WCAG 2) on which black and white stand out alike, each at 4.6 : 1
CLOSEST = 0.11  # of the bar of colours, between ticks

Stretch = Literal["linear", "root", "log"]


@dataclass(frozen=True)
class Scale:
    """A colour scale.

    Attributes:
        low, high: values at the ends; of a logarithm, low is 1.
        stretch: whether colours follow the values, their square roots (for small ones), or their logs.
    """

    low: float
    high: float
    stretch: Stretch = "linear"

    def shares(self, values: np.ndarray) -> np.ndarray:
        """Return the positions of values on the scale, from 0 to 1; nan stays nan."""
        within = np.clip(values, self.low, self.high)  # no root or logarithm of less
        low, high, at = (self._at(np.asarray(x, float)) for x in (self.low, self.high, within))
        return (at - low) / (high - low if high > low else 1.0)

    def ticks(self) -> dict[str, Any]:
        """Return round values as ticks of a bar from 0 to 1."""
        values = {"linear": self._even, "root": self._far_apart, "log": self._decades}[self.stretch]()
        shown = [f"{round(value, 9):,g}" for value in values]
        return {"tickvals": self.shares(np.array(values)).tolist(), "ticktext": shown}

    def _at(self, values: np.ndarray) -> np.ndarray:
        return {"linear": np.asarray, "root": np.sqrt, "log": np.log10}[self.stretch](values)

    def _even(self) -> list[float]:
        length = self.high - self.low or 1.0
        power = 10.0 ** math.floor(math.log10(length))
        step = next(times * power for times in (0.2, 0.5, 1, 2) if length / (times * power) <= 6)
        return [self.low + i * step for i in range(math.floor(length / step + 1e-9) + 1)]

    def _decades(self) -> list[float]:
        steps = (1, 2, 5) if self.high < 10 else (1,)  # within a decade powers of ten alone are too few
        powers = range(math.floor(math.log10(self.high)) + 1)
        return [value for power in powers for step in steps if (value := step * 10.0**power) <= self.high]

    def _far_apart(self) -> list[float]:
        """Return round values from the highest down, and the lowest."""
        ticks = [self.low]
        top = math.floor(math.log10(self.high)) if self.high > 0 else 0
        for value in (times * 10.0**power for power in range(top, top - 4, -1) for times in (5, 2, 1)):
            at = self.shares(np.array([value, *ticks]))
            if self.low < value <= self.high and np.abs(at[1:] - at[0]).min() >= CLOSEST:
                ticks.append(value)
        return ticks


def stands_out_dark(colours: list[list[Any]], shares: np.ndarray) -> np.ndarray:
    """Return where black text has more contrast than white on the colours ("#RRGGBB") of a scale."""
    stops = [place for place, _ in colours]
    channels = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for _, colour in colours])
    colour = np.stack([np.interp(shares, stops, channel) for channel in channels.T], -1)
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722]) > EVEN
