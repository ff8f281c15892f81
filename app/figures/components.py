"""Marks of ablations in every chart of the page Ablations, and the log axis of Δ, the cost of a component."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.figures.style import Look, escape
from engine.instruments.importance.comparison import LEAST

# An ablation keeps its colour and shape whatever stands beside it.
_ORDER = ("optimal", "mean", "counterfactual-mean", "resample", "counterfactual", "gaussian")
_SYMBOLS = ("circle", "square", "triangle-up", "diamond", "star", "cross")


@dataclass(frozen=True)
class AblationMark:
    """Colour, symbol and pattern of an ablation.

    Attributes:
        colour: of its bars and marks.
        symbol: of its marks: open where one constant is shared by all positions.
        pattern: of its bars: hatched where one constant is shared.
    """

    colour: str
    symbol: str
    pattern: str


def ablation_mark(ablation: str, conditioning: str | None, scheme: Look) -> AblationMark:
    """Return the mark of an ablation.

    Args:
        ablation: its name.
        conditioning: "per position" or "shared" if the ablation has that setting, else None.
    """
    shared = conditioning == "shared"
    if ablation in _ORDER:
        place = _ORDER.index(ablation)
        colour, symbol = scheme.runs[place], _SYMBOLS[place]
    else:
        colour, symbol = scheme.muted, "triangle-down"
    return AblationMark(colour, f"{symbol}-open" if shared else symbol, "/" if shared else "")


def height(value: np.ndarray | float) -> np.ndarray:
    """Return the positions of values (nats) on a log axis that ends at `LEAST`; nan stays nan."""
    return np.maximum(value, LEAST)


def tick_text(value: float) -> str:
    """Return the tick text of 1, 2 or 5 times a power of ten: "0.02", "10⁻⁴", and at the foot "≤10⁻⁶"."""
    power = math.floor(math.log10(value) + 1e-9)
    raised = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    times = round(value / 10.0**power)
    text = f"{value:g}" if -3 <= power <= 3 else f"10{raised}" if times == 1 else f"{times}·10{raised}"
    return f"≤{text}" if value <= LEAST * 1.01 else text


def log_range(values: Iterable[float]) -> tuple[float, float]:
    """Return the range (low, high) of a log axis, as powers of ten; values below `LEAST` count as `LEAST`."""
    finite = [value for value in values if math.isfinite(value)]
    heights = [max(value, LEAST) for value in finite] or [LEAST, 1.0]
    return math.log10(min(heights)), math.log10(max(heights))


def log_axis(values: Iterable[float], title: str, scheme: Look) -> dict[str, Any]:
    """Return a log axis that holds all values, with ticks at decades.

    Args:
        values: all values drawn, ends of intervals included; nan is ignored.
        title: of the axis.
    """
    low, high = log_range(values)
    low, high = min(math.floor(low * 2) / 2, high - 0.5), high + 0.08
    low = max(low, math.log10(LEAST)) - 0.06
    high = max(high, low + 0.6)
    decades = range(math.floor(low), math.floor(high) + 1)
    steps = (1,) if high - low > 2 else (1, 2, 5)  # within few decades powers of ten alone are too few
    ticks = [step * 10.0**power for power in decades for step in steps]
    ticks = [tick for tick in ticks if low <= math.log10(tick) <= high]
    quiet = {"size": scheme.size(12), "color": scheme.muted}
    return {
        "type": "log",
        "range": [low, high],
        "tickvals": ticks,
        "ticktext": [tick_text(tick) for tick in ticks],
        "title": {"text": title, "font": quiet, "standoff": 6},
        "tickfont": quiet,
        "gridcolor": scheme.faint if scheme.mode == "dark" else "#E6EAEE",
        "zeroline": False,
        "showline": False,
        "fixedrange": True,
    }


def error_bars(mean: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str) -> dict[str, Any]:
    """Return the 95 % intervals of values on an axis that ends at `LEAST`, as Plotly's error bars."""
    at = height(mean)
    return {
        "type": "data",
        "symmetric": False,
        "array": np.nan_to_num(height(high) - at).clip(0).tolist(),
        "arrayminus": np.nan_to_num(at - height(low)).clip(0).tolist(),
        "color": colour,
        "thickness": 1.2,
        "width": 3,
    }


def cost_text(name: str, mean: float, low: float, high: float) -> str:
    """Return the hover text of one cost: name, Δ, interval."""
    interval = "no interval" if not math.isfinite(low + high) else f"95 %: {low:.3g} – {high:.3g}"
    return f"{name}: <b>{mean:.3g} nats</b><br>{interval}"


def legend(scheme: Look) -> dict[str, Any]:
    """Return the legend of all charts of the page, in lines over the chart."""
    return {
        "orientation": "h",
        "x": 0,
        "xanchor": "left",
        "y": 1.0,
        "yanchor": "bottom",
        "itemclick": False,
        "itemdoubleclick": False,
        "font": {"size": scheme.size(12), "color": scheme.ink},
    }


def lines_axis(names: Sequence[str], scheme: Look) -> dict[str, Any]:
    """Return the y axis of a chart with one line per name, from top to bottom."""
    return {
        "tickvals": list(range(len(names))),
        "ticktext": [escape(name) for name in names],
        "range": [len(names) - 0.5, -0.5],
        "tickfont": {"size": scheme.size(12), "color": scheme.ink},
        "automargin": True,
        "ticklabelstandoff": 6,
        "ticks": "",
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
    }


def spread(n: int, width: float) -> np.ndarray:
    """Return fixed offsets [n] within `width`, which spread marks on one line."""
    return (np.arange(n) * 0.618 % 1 - 0.5) * width
