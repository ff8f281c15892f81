"""Figures of Δ under every ablation: of one component, or of several side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from app.figures.components import AblationMark, cost_text, error_bars, height, legend, log_axis
from app.figures.style import Look, base_layout, escape

COST = "Δ: KL when it alone is ablated (nats)"


@dataclass(frozen=True)
class Costs:
    """Δ of some components under one ablation.

    Attributes:
        name: of the ablation, with its conditioning.
        mark: its mark.
        mean, low, high: Δ and its 95 % interval in nats, one for each component; nan where there is none.
    """

    name: str
    mark: AblationMark
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def values(self) -> list[float]:
        """All values drawn: means and ends of intervals."""
        return [float(value) for value in np.concatenate([self.mean, self.low, self.high])]


def one_component_figure(costs: Sequence[Costs], scheme: Look) -> go.Figure:
    """Return bars of Δ of one component, one per ablation from top to bottom, on a log axis.

    Args:
        costs: one entry per ablation, with one component each.
    """
    figure = go.Figure(
        layout=base_layout(
            scheme,
            margin={"l": 8, "r": 12, "t": 4, "b": scheme.size(40)},
            dragmode=False,
            bargap=0.4,
            barmode="overlay",
            showlegend=False,
            hovermode="closest",
        )
    )
    for cost in costs:
        figure.add_bar(
            x=height(cost.mean).tolist(),
            y=[escape(cost.name)],
            orientation="h",
            name=escape(cost.name),
            marker=_fill(cost.mark, scheme),
            error_x=error_bars(cost.mean, cost.low, cost.high, scheme.ink),
            hovertext=_hover(cost, [cost.name]),
            hovertemplate="%{hovertext}<extra></extra>",
        )
    figure.update_xaxes(**log_axis([v for cost in costs for v in cost.values], COST, scheme))
    figure.update_yaxes(
        autorange="reversed",
        automargin=True,
        fixedrange=True,
        showgrid=False,
        ticks="",
        ticklabelstandoff=6,
        tickfont={"size": scheme.size(12), "color": scheme.ink},
    )
    return figure


def bars_figure(
    components: Sequence[str], costs: Sequence[Costs], scheme: Look, selected: Sequence[str] = ()
) -> go.Figure:
    """Return bars of Δ in groups: a group per component, a bar per ablation, on a log axis.

    Args:
        components: from left to right; a click on a bar carries its component.
        costs: of these components.
        selected: components whose names are bold.
    """
    figure = go.Figure(
        layout=base_layout(
            scheme,
            margin={"l": scheme.size(64), "r": 8, "t": scheme.size(52), "b": scheme.size(30)},
            dragmode=False,
            bargap=0.22,
            bargroupgap=0.08,
            barmode="group",
            showlegend=True,
            legend=legend(scheme),
            hovermode="closest",
        )
    )
    for cost in costs:
        figure.add_bar(
            x=list(range(len(components))),
            y=height(cost.mean).tolist(),
            name=escape(cost.name),
            marker=_fill(cost.mark, scheme),
            error_y=error_bars(cost.mean, cost.low, cost.high, scheme.ink) | {"width": 2, "thickness": 1},
            customdata=list(components),
            hovertext=_hover(cost, [f"{node}, {cost.name}" for node in components]),
            hovertemplate="%{hovertext}<extra></extra>",
        )
    figure.update_yaxes(**log_axis([v for cost in costs for v in cost.values], "Δ (nats)", scheme))
    figure.update_xaxes(
        tickvals=list(range(len(components))),
        ticktext=[f"<b>{node}</b>" if node in selected else node for node in components],
        range=[-0.5, len(components) - 0.5],
        tickfont={"size": scheme.size(12), "color": scheme.ink},
        tickangle=0 if len(components) <= 12 else -55,
        ticks="",
        showgrid=False,
        zeroline=False,
        fixedrange=True,
    )
    return figure


def _fill(mark: AblationMark, scheme: Look) -> dict[str, object]:
    if not mark.pattern:
        return {"color": mark.colour, "line": {"width": 0}}
    pattern = {
        "shape": mark.pattern,
        "fgcolor": mark.colour,
        "bgcolor": scheme.ground,
        "size": 6,
        "solidity": 0.4,
    }
    return {"color": mark.colour, "pattern": pattern, "line": {"width": 1.2, "color": mark.colour}}


def _hover(costs: Costs, names: Sequence[str]) -> list[str]:
    return [
        cost_text(escape(name), *(float(x) for x in ends))
        for name, *ends in zip(names, costs.mean, costs.low, costs.high, strict=True)
    ]
