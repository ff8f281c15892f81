"""Figure of the ratios Δ_optimal / Δ_x of all components, for every ablation x."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app.figures.components import AblationMark, legend, lines_axis, spread
from app.figures.style import Look, base_layout, escape, faded
from engine.instruments.importance.comparison import Ratios

# Median Δ_optimal / Δ_x over 156 components of GPT-2 small on IOI: Li & Janson 2024 (2409.09951), Table 1.
PAPER = {"zero": 0.111, "mean": 0.330, "resample": 0.177}
FOOT, TOP = 1e-3, 1e2  # ratios beyond stand at the ends of the axis
_ENDS = {FOOT: "≤", TOP: "≥"}
TICKS = (0.001, 0.01, 0.1, 1, 10, 100)


@dataclass(frozen=True)
class RatioRow:
    """The ratios of one ablation.

    Attributes:
        name: of the ablation, with its conditioning.
        mark: its mark.
        ratios: of all components.
        paper: the median in the paper; None where it has none of this ablation and conditioning.
    """

    name: str
    mark: AblationMark
    ratios: Ratios
    paper: float | None = None


def ratio_figure(
    components: Sequence[str],
    rows: Sequence[RatioRow],
    optimal: str,
    scheme: Look,
    selected: Sequence[str] = (),
) -> go.Figure:
    """Return one line per ablation: every component as a mark, the quartiles as a box, the paper's median.

    Args:
        components: a click on a mark carries its component.
        rows: from top to bottom.
        optimal: name of the optimal ablation, with its conditioning.
        selected: components with a ring.
    """
    low, high = _range(rows)
    figure = go.Figure(
        layout=base_layout(
            scheme,
            margin={"l": 8, "r": 14, "t": scheme.size(30), "b": scheme.size(42)},
            dragmode=False,
            hovermode="closest",
            showlegend=True,
            shapes=_boxes(rows, scheme),
            legend=legend(scheme),
        )
    )
    for place, row in enumerate(rows):
        _strip(figure, place, row, components, selected, scheme)
    _medians(figure, rows, scheme)
    _paper(figure, rows, scheme)
    quiet = {"size": scheme.size(12), "color": scheme.muted}
    ticks = [tick for tick in TICKS if low <= math.log10(tick) <= high]
    figure.update_xaxes(
        type="log",
        range=[low, high],
        tickvals=ticks,
        ticktext=[f"{_ENDS.get(tick, '')}{tick:g}" for tick in ticks],
        tickfont=quiet,
        title={
            "text": f"Δ under {escape(optimal)} / Δ under the ablation at the left",
            "font": quiet,
            "standoff": 6,
        },
        gridcolor=scheme.faint,
        zeroline=False,
        fixedrange=True,
    )
    figure.update_yaxes(**lines_axis([row.name for row in rows], scheme))
    return figure


def _range(rows: Sequence[RatioRow]) -> tuple[float, float]:
    values = np.concatenate([[0.1, 1.0], *(_heights(row.ratios.values) for row in rows)])
    values = values[np.isfinite(values)]
    return math.log10(values.min()) - 0.12, math.log10(max(values.max(), 1)) + 0.15


def _heights(ratios: np.ndarray) -> np.ndarray:
    return ratios.clip(FOOT, TOP)


def _boxes(rows: Sequence[RatioRow], scheme: Look) -> list[dict[str, Any]]:
    """Return the boxes of the quartiles, and the line at ratio 1."""
    line = {"color": scheme.muted, "width": 1, "dash": "dash"}
    boxes = [{"type": "line", "x0": 1, "x1": 1, "yref": "paper", "y0": 0, "y1": 1, "line": line}]
    for place, row in enumerate(rows):
        if row.ratios.quartiles is not None:
            low, high = (min(max(end, FOOT), TOP) for end in row.ratios.quartiles)
            ends = {"x0": low, "x1": high, "y0": place - 0.36, "y1": place + 0.36}
            look = {"fillcolor": faded(row.mark.colour, 0.16), "line": {"color": row.mark.colour, "width": 1}}
            boxes.append({"type": "rect", "layer": "below", **ends, **look})
    return boxes


def _strip(
    figure: go.Figure,
    place: int,
    row: RatioRow,
    components: Sequence[str],
    selected: Sequence[str],
    scheme: Look,
) -> None:
    defined = np.flatnonzero(np.isfinite(row.ratios.values)).tolist()
    chosen = [components[i] in selected for i in defined]
    figure.add_scatter(
        x=_heights(row.ratios.values[defined]).tolist(),
        y=(place + spread(len(components), 0.56)[defined]).tolist(),
        mode="markers",
        name=escape(row.name),
        showlegend=False,
        customdata=[components[i] for i in defined],
        hovertext=[
            f"<b>{components[i]}</b><br>{row.ratios.values[i]:.3g} of {escape(row.name)}" for i in defined
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        marker={
            "size": [11 if ringed else 7 for ringed in chosen],
            "symbol": row.mark.symbol,
            "color": row.mark.colour,
            "opacity": 0.8,
            "line": {
                "width": [3 if ringed else 1 for ringed in chosen],
                "color": [scheme.ring if ringed else row.mark.colour for ringed in chosen],
            },
        },
    )


def _medians(figure: go.Figure, rows: Sequence[RatioRow], scheme: Look) -> None:
    """Draw the medians as thick lines with 95 % intervals over prompts, under the box."""
    defined = [(place, row) for place, row in enumerate(rows) if row.ratios.median is not None]
    heights = [min(max(row.ratios.median or 0.0, FOOT), TOP) for _, row in defined]
    ends = [row.ratios.median_ci or (at, at) for (_, row), at in zip(defined, heights, strict=True)]
    figure.add_scatter(
        x=heights,
        y=[place for place, _ in defined],
        mode="markers",
        name="median here, 95 % over prompts",
        marker={
            "symbol": "line-ns",
            "size": scheme.size(26),
            "color": scheme.ink,
            "line": {"width": 3, "color": scheme.ink},
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [max(high - at, 0) for (_, high), at in zip(ends, heights, strict=True)],
            "arrayminus": [max(at - max(low, FOOT), 0) for (low, _), at in zip(ends, heights, strict=True)],
            "color": scheme.ink,
            "thickness": 2,
            "width": 5,
        },
        hovertext=[f"{escape(row.name)}: median {row.ratios.median:.3g}" for _, row in defined],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _paper(figure: go.Figure, rows: Sequence[RatioRow], scheme: Look) -> None:
    defined = [(place, row.paper) for place, row in enumerate(rows) if row.paper is not None]
    if not defined:
        return
    figure.add_scatter(
        x=[median for _, median in defined],
        y=[place + 0.42 for place, _ in defined],
        mode="markers",
        name="median in the paper, GPT-2 small on IOI: another model",
        marker={
            "symbol": "triangle-up-open",
            "size": scheme.size(12),
            "color": scheme.ring,
            "line": {"width": 2.5, "color": scheme.ring},
        },
        hovertext=[f"paper, GPT-2 small on IOI: median {median:.1%}" for _, median in defined],
        hovertemplate="%{hovertext}<extra></extra>",
    )
