"""Figure of the training of optimal constants: KL on held-out prompts, and distance from the means."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from app.figures.components import legend
from app.figures.style import Look, base_layout

HISTORY = ("step", "validation", "best", "moved")


def training_figure(history: Mapping[str, Sequence[float]], scheme: Look) -> go.Figure:
    """Return the two charts over training steps.

    Args:
        history: "step"; "validation" and "best" in nats, the mean over all sources of the KL when each alone
            is ablated; "moved", the root mean square over all numbers of constant less mean.
    """
    steps = list(history["step"])
    quiet = {"size": scheme.size(12), "color": scheme.muted}
    axis = {"tickfont": quiet, "gridcolor": scheme.faint, "zeroline": False, "fixedrange": True}
    figure = go.Figure(
        layout=base_layout(
            scheme,
            margin={"l": scheme.size(64), "r": 12, "t": scheme.size(30), "b": scheme.size(40)},
            dragmode=False,
            hovermode="closest",
            showlegend=True,
            legend=legend(scheme),
            xaxis=axis
            | {"domain": [0, 0.45], "title": {"text": "training step", "font": quiet, "standoff": 6}},
            xaxis2=axis
            | {
                "domain": [0.57, 1],
                "anchor": "y2",
                "title": {"text": "training step", "font": quiet, "standoff": 6},
            },
            yaxis=axis
            | {
                "rangemode": "tozero",
                "title": {"text": "mean KL, prompts held out (nats)", "font": quiet, "standoff": 6},
            },
            yaxis2=axis
            | {
                "rangemode": "tozero",
                "anchor": "x2",
                "title": {"text": "moved from the means (RMS)", "font": quiet, "standoff": 6},
            },
        )
    )
    lines = (
        ("validation", "now", scheme.accent, "solid", "y"),
        ("best", "best so far, of every component by itself", scheme.ring, "dash", "y"),
        ("moved", "moved", scheme.accent, "solid", "y2"),
    )
    for name, label, colour, dash, y in lines:
        figure.add_scatter(
            x=steps,
            y=list(history[name]),
            mode="lines+markers",
            name=label,
            showlegend=y == "y",
            xaxis=y.replace("y", "x"),
            yaxis=y,
            line={"color": colour, "width": 2, "dash": dash},
            marker={"size": 4, "color": colour},
            hovertemplate=f"step %{{x}}, {label}: <b>%{{y:.4g}}</b><extra></extra>",
        )
    return figure
