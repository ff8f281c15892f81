"""Figures of effects over layers with intervals, of their concentration, and of the peaks of prompts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app.figures.components import legend, lines_axis
from app.figures.style import Look, base_layout, escape, faded


@dataclass(frozen=True)
class Profile:
    """Effects under one corruption, layer by layer.

    Attributes:
        name, colour, symbol: those of the corruption in every chart of the page.
        mean, low, high: means and ends of intervals, [n]; nan where there is none.
        starred: bool [n], the entries marked with a star.
    """

    name: str
    colour: str
    symbol: str
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    starred: np.ndarray | None = None


def profiles_figure(
    profiles: Sequence[Profile],
    title: str,
    scheme: Look,
    across: str = "layer",
    places: Sequence[float] | None = None,
) -> go.Figure:
    """Return a line for each corruption over layers, with its 95 % interval as a band.

    Args:
        title: title of the y axis.
        across: title of the x axis.
        places: x coordinates of the means, ascending; None takes 0, 1, 2, ….
    """
    figure = go.Figure(layout=_layout(scheme))
    n = max((len(profile.mean) for profile in profiles), default=1)
    at = np.arange(n) if places is None else np.array(places)
    for profile in profiles:
        layers = np.flatnonzero(np.isfinite(profile.mean))
        if not len(layers):
            continue
        both = at[np.concatenate([layers, layers[::-1]])]
        if np.isfinite(profile.low[layers]).all():
            figure.add_scatter(
                x=both,
                y=np.concatenate([profile.high[layers], profile.low[layers][::-1]]),
                mode="lines",
                fill="toself",
                fillcolor=faded(profile.colour, 0.14),
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
            )
        stars = None
        if profile.starred is not None:
            stars = ["*" if star else "" for star in profile.starred[layers]]
        figure.add_scatter(
            x=at[layers],
            y=profile.mean[layers],
            mode="lines+markers" if profile.starred is None else "lines+markers+text",
            name=escape(profile.name),
            line={"color": profile.colour, "width": 2},
            text=stars,
            textposition="top center",
            textfont={"size": scheme.size(18), "color": profile.colour},
            marker={"size": 8, "symbol": profile.symbol, "color": profile.colour},
            hovertext=[_said(profile, layer) for layer in layers.tolist()],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    quiet = {"size": scheme.size(12), "color": scheme.muted}
    margin = 0.3 * float(at[-1] - at[0]) / max(1, n - 1) or 0.3
    figure.update_xaxes(
        **_axis(scheme),
        title={"text": across, "font": quiet, "standoff": 4},
        tickvals=at[:: 1 if n <= 24 else 4].tolist(),
        range=[float(at[0]) - margin, float(at[-1]) + margin],
    )
    figure.update_yaxes(**_axis(scheme) | _zero(scheme), title={"text": title, "font": quiet, "standoff": 6})
    return figure


def intervals_figure(
    names: Sequence[str],
    profiles: Sequence[Profile],
    title: str,
    scheme: Look,
    ends: tuple[float, float] | None = None,
) -> go.Figure:
    """Return a line for each name, from top to bottom, with a mark and its interval for each corruption.

    Args:
        profiles: with one entry per name.
        title: title of the axis.
        ends: smallest and largest possible value; None takes those of the values drawn, and 0.
    """
    figure = go.Figure(layout=_layout(scheme))
    for i, profile in enumerate(profiles):
        at = np.arange(len(names)) + 0.18 * (2 * i - len(profiles) + 1)
        figure.add_scatter(
            x=profile.mean,
            y=at,
            mode="markers",
            name=escape(profile.name),
            marker={"size": 9, "symbol": profile.symbol, "color": profile.colour},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": np.nan_to_num(profile.high - profile.mean).clip(0),
                "arrayminus": np.nan_to_num(profile.mean - profile.low).clip(0),
                "color": profile.colour,
                "thickness": 1.4,
                "width": 3,
            },
            hovertext=[f"{escape(name)}, {_said(profile, j)}" for j, name in enumerate(names)],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    quiet = {"size": scheme.size(12), "color": scheme.muted}
    low, high = _range(profiles) if ends is None else ends
    margin = 0.04 * (high - low) or 1.0
    figure.update_xaxes(
        **_axis(scheme) | _zero(scheme),
        title={"text": title, "font": quiet, "standoff": 4},
        range=[low - margin, high + margin],
    )
    figure.update_yaxes(**lines_axis(names, scheme))
    return figure


def peaks_figure(counts: Sequence[tuple[Profile, np.ndarray]], scheme: Look) -> go.Figure:
    """Return bars of the share of prompts whose largest effect is in each layer; the last bar: in none.

    Args:
        counts: for each corruption, the share of prompts per layer and, last, without any, [n_layers + 1].
    """
    figure = go.Figure(layout=_layout(scheme) | {"bargap": 0.3, "bargroupgap": 0.08, "barmode": "group"})
    n = max(len(share) for _, share in counts) - 1
    names = [*(f"L{layer}" for layer in range(n)), "none"]
    for profile, share in counts:
        figure.add_bar(
            x=list(range(n + 1)),
            y=share,
            name=escape(profile.name),
            marker={"color": profile.colour},
            hovertext=[
                f"{escape(profile.name)}, {name}: {value:.0%}"
                for name, value in zip(names, share, strict=True)
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    quiet = {"size": scheme.size(12), "color": scheme.muted}
    figure.update_xaxes(
        **_axis(scheme) | {"showgrid": False},
        tickvals=list(range(n + 1)),
        ticktext=names,
        title={"text": "layer of a prompt's largest effect", "font": quiet, "standoff": 4},
    )
    figure.update_yaxes(
        **_axis(scheme), tickformat=".0%", title={"text": "prompts", "font": quiet, "standoff": 6}
    )
    return figure


def _layout(scheme: Look) -> dict[str, object]:
    return base_layout(
        scheme,
        margin={"l": scheme.size(60), "r": 12, "t": scheme.size(34), "b": scheme.size(46)},
        showlegend=True,
        legend=legend(scheme),
        dragmode=False,
        hovermode="closest",
    )


def _axis(scheme: Look) -> dict[str, Any]:
    return {
        "tickfont": {"size": scheme.size(12), "color": scheme.muted},
        "gridcolor": scheme.faint if scheme.mode == "dark" else "#E6EAEE",
        "zeroline": False,
        "showline": False,
        "fixedrange": True,
        "automargin": True,
    }


def _zero(scheme: Look) -> dict[str, Any]:
    return {"zeroline": True, "zerolinecolor": scheme.muted, "zerolinewidth": 1}


def _range(profiles: Sequence[Profile]) -> tuple[float, float]:
    """Return the ends of all means and intervals, and of 0."""
    values = np.concatenate(
        [[0.0], *(part for profile in profiles for part in (profile.mean, profile.low, profile.high))]
    )
    return float(np.nanmin(values)), float(np.nanmax(values))


def _said(profile: Profile, i: int) -> str:
    mean, low, high = (float(values[i]) for values in (profile.mean, profile.low, profile.high))
    interval = f"<br>95 %: {low:.3g} to {high:.3g}" if np.isfinite(low + high) else ""
    return f"{escape(profile.name)}: <b>{mean:.3g}</b>{interval}"
