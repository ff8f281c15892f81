"""Figure of the KL when one node alone is ablated, under each ablation."""

import plotly.graph_objects as go

from app.figures.curve import interval_text
from app.figures.style import Look, base_layout, escape
from engine.runs.record import Estimate


def importance_figure(losses: dict[str, Estimate], scheme: Look) -> go.Figure:
    """Return a bar for each ablation: the KL when the node is ablated, with its 95 % interval.

    Args:
        losses: title of the ablation -> KL in nats, drawn from top to bottom.
        scheme: colours of the page.
    """
    means = [loss.mean for loss in losses.values()]
    ends = [_ends(loss) for loss in losses.values()]
    quiet = {"size": scheme.size(12), "color": scheme.muted}
    figure = go.Figure(
        go.Bar(
            x=means,
            y=[escape(title) for title in losses],
            orientation="h",
            marker={"color": scheme.accent, "line": {"width": 0}},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [high - mean for (_, high), mean in zip(ends, means, strict=True)],
                "arrayminus": [mean - low for (low, _), mean in zip(ends, means, strict=True)],
                "color": scheme.ink,
                "thickness": 1.2,
                "width": 3,
            },
            text=[interval_text(loss) for loss in losses.values()],
            textposition="none",
            hovertemplate="%{y}: <b>%{x:.3g} nats</b><br>%{text}<extra></extra>",
        ),
        layout=base_layout(scheme, margin={"l": 8, "r": 12, "t": 4, "b": 36}, dragmode=False, bargap=0.45),
    )
    figure.update_yaxes(autorange="reversed", automargin=True, fixedrange=True, showgrid=False, ticks="")
    figure.update_yaxes(tickfont=quiet, showline=False, zeroline=False, ticklabelstandoff=6)
    figure.update_xaxes(
        title={"text": "KL when it alone is ablated (nats)", "font": quiet, "standoff": 6},
        tickfont=quiet,
        gridcolor=scheme.band,
        zeroline=False,
        rangemode="tozero",
        nticks=5,
        fixedrange=True,
    )
    return figure


def _ends(loss: Estimate) -> tuple[float, float]:
    """Return the ends of a loss's interval; with a single prompt, the mean for both ends."""
    low, high = loss.ci95
    return (loss.mean, loss.mean) if low is None or high is None else (low, high)
