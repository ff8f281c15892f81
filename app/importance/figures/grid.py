"""Figure of Δ of every head and MLP under one ablation: layers × heads, MLPs and the input beside them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app.figures.attention import DARK_SCALE, LIGHT_SCALE
from app.figures.components import height, tick_text
from app.figures.names import node_role
from app.figures.style import Look, base_layout
from engine.instruments.importance.comparison import LEAST

WIDEST = 10  # heads of a layer whose numbers fit into their cells
GAP = 0.45  # between the heads and the MLPs, in cells


@dataclass(frozen=True)
class Cell:
    """One component.

    Attributes:
        layer: its layer; -1 for the input.
        head: its head; None for an MLP and for the input.
        mean: Δ in nats.
        interval: its 95 % interval in words.
    """

    layer: int
    head: int | None
    mean: float
    interval: str


def grid_figure(
    cells: Mapping[str, Cell], span: tuple[float, float], scheme: Look, selected: tuple[str, ...] = ()
) -> go.Figure:
    """Return the grid, the first layer at the bottom as in the circuit graph.

    Args:
        cells: by node.
        span: nats at the ends of the (logarithmic) colour scale, the same for all ablations of a model and
            task, so that switching between them shows what changes.
        selected: nodes with a ring.
    """
    low, high = (float(np.log10(height(end))) for end in span)
    high = max(high, low + 1)
    n_heads = 1 + max((cell.head for cell in cells.values() if cell.head is not None), default=0)
    n_layers = 1 + max((cell.layer for cell in cells.values()), default=0)
    places = {node: _place(cell, n_heads) for node, cell in cells.items()}
    figure = go.Figure(layout=_layout(n_layers, n_heads, any(c.layer < 0 for c in cells.values()), scheme))
    groups: dict[str, list[str]] = {"heads": [], "MLPs": [], "input": []}
    for node, cell in cells.items():
        groups["input" if cell.layer < 0 else "MLPs" if cell.head is None else "heads"].append(node)
    for name, nodes in groups.items():
        if nodes:
            figure.add_trace(_trace(name, nodes, cells, places))
    tickvals = [power for power in range(-12, 4) if low - 0.01 <= power <= high + 0.01]
    bar = {"size": scheme.size(12), "color": scheme.muted}
    figure.update_layout(
        coloraxis={
            "cmin": low,
            "cmax": high,
            "colorscale": DARK_SCALE if scheme.mode == "dark" else LIGHT_SCALE,
            "colorbar": {
                "orientation": "h",
                "x": 0.5,
                "y": -0.05,
                "yanchor": "top",
                "ypad": 0,
                "len": 0.72,
                "thickness": 10,
                "outlinewidth": 0,
                "tickvals": tickvals,
                "ticktext": [tick_text(10.0**power) for power in tickvals],
                "tickfont": bar,
                "title": {"text": "Δ: KL when it alone is ablated (nats)", "font": bar, "side": "top"},
            },
        },
        annotations=[
            _number(cells[node], places[node], (low, high), scheme)
            for node in cells
            if n_heads <= WIDEST and np.isfinite(cells[node].mean)
        ],
        shapes=[_ring(places[node], scheme) for node in selected if node in places],
    )
    return figure


def _place(cell: Cell, n_heads: int) -> tuple[float, float]:
    if cell.layer < 0:
        return 0.0, -1.0 - GAP
    return (n_heads + GAP if cell.head is None else float(cell.head)), float(cell.layer)


def _trace(
    name: str, nodes: list[str], cells: Mapping[str, Cell], places: Mapping[str, tuple[float, float]]
) -> go.Heatmap:
    """Return one heat map: heads, MLPs and input have one each, with gaps between them."""
    xs = sorted({places[node][0] for node in nodes})
    ys = np.arange(min(places[node][1] for node in nodes), max(places[node][1] for node in nodes) + 1)
    columns = np.arange(xs[0], xs[-1] + 1)
    z = np.full((len(ys), len(columns)), np.nan)
    ids, texts = np.full(z.shape, "", dtype=object), np.full(z.shape, "", dtype=object)
    for node in nodes:
        x, y = places[node]
        at = round(y - ys[0]), round(x - columns[0])
        z[at], ids[at] = np.log10(height(cells[node].mean)), node
        texts[at] = (
            f"<b>{node}</b>, {node_role(node)}<br>{cells[node].mean:.3g} nats<br>{cells[node].interval}"
        )
    return go.Heatmap(
        name=name,
        z=z,
        x0=columns[0],
        dx=1,
        y0=ys[0],
        dy=1,
        coloraxis="coloraxis",
        xgap=2,
        ygap=2,
        hoverongaps=False,
        customdata=ids.tolist(),
        text=texts.tolist(),
        hovertemplate="%{text}<extra></extra>",
    )


def _number(
    cell: Cell, place: tuple[float, float], span: tuple[float, float], scheme: Look
) -> dict[str, Any]:
    share = (float(np.log10(height(cell.mean))) - span[0]) / (span[1] - span[0])
    # The scale is dark at its upper end on a light page, and light there on a dark one.
    colour = scheme.ground if share > (0.66 if scheme.mode == "light" else 0.55) else scheme.ink
    return {
        "x": place[0],
        "y": place[1],
        "text": cell_text(cell.mean),
        "showarrow": False,
        "font": {"size": scheme.size(11), "color": colour},
    }


def cell_text(mean: float) -> str:
    """Return the text of Δ in a cell: two digits, few characters."""
    if mean < LEAST:
        return "0"
    if mean < 1e-3:
        digits, power = f"{mean:.0e}".split("e")
        return f"{digits}e{int(power)}"
    return f"{mean:.2g}"


def _ring(place: tuple[float, float], scheme: Look) -> dict[str, Any]:
    x, y = place
    ends = {"x0": x - 0.5, "x1": x + 0.5, "y0": y - 0.5, "y1": y + 0.5}
    return {"type": "rect", **ends, "line": {"color": scheme.ring, "width": 3}}


def _layout(n_layers: int, n_heads: int, with_input: bool, scheme: Look) -> dict[str, Any]:
    font = {"size": scheme.size(12), "color": scheme.muted}
    every = 1 if n_heads <= 16 else 4
    heads = list(range(0, n_heads, every))
    rows = list(range(n_layers)) if n_layers <= 24 else list(range(0, n_layers, 4))
    labels = {"showgrid": False, "zeroline": False, "ticks": "", "tickfont": font, "fixedrange": True}
    bottom = -1.5 - GAP if with_input else -0.5
    return base_layout(
        scheme,
        margin={"l": 8, "r": 8, "t": scheme.size(44), "b": scheme.size(70)},
        hovermode="closest",
        dragmode=False,
        xaxis=labels
        | {
            "tickvals": [*heads, n_heads + GAP],
            "ticktext": [*map(str, heads), "MLP"],
            "range": [-0.5, n_heads + GAP + 0.5],
            "side": "top",
            "title": {"text": "head", "font": font, "standoff": 4},
        },
        yaxis=labels
        | {
            "tickvals": [*([-1 - GAP] if with_input else []), *rows],
            "ticktext": [*(["input"] if with_input else []), *(f"layer {row}" for row in rows)],
            "range": [bottom, n_layers - 0.5],
            "automargin": True,
            "ticklabelstandoff": 6,
        },
    )
