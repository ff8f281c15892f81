"""Figure of the KL of one component on every prompt, under each ablation."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from app.figures.components import AblationMark, height, legend, lines_axis, log_axis, spread
from app.figures.style import Look, base_layout, escape, faded

Prompts = tuple[str, AblationMark, np.ndarray]  # name of the ablation, its mark, KL in nats [n_prompts]


def prompts_figure(rows: Sequence[Prompts], scheme: Look) -> go.Figure:
    """Return one line per ablation: every prompt as a mark, quartiles as a box, the mean as a diamond."""
    figure = go.Figure(
        layout=base_layout(
            scheme,
            margin={"l": 8, "r": 12, "t": scheme.size(26), "b": scheme.size(42)},
            dragmode=False,
            hovermode="closest",
            showlegend=True,
            legend=legend(scheme),
        )
    )
    boxes = []
    for place, (name, mark, kl) in enumerate(rows):
        figure.add_scatter(
            x=height(kl).tolist(),
            y=(place + spread(len(kl), 0.6)).tolist(),
            mode="markers",
            name=escape(name),
            showlegend=False,
            hovertext=[
                f"{escape(name)}, prompt {i + 1}: <b>{value:.3g} nats</b>" for i, value in enumerate(kl)
            ],
            hovertemplate="%{hovertext}<extra></extra>",
            marker={
                "size": 4,
                "color": faded(mark.colour, 0.55),
            },
        )
        low, middle, high = np.quantile(height(kl), (0.25, 0.5, 0.75))
        for x0, x1, width in ((low, high, 1), (middle, middle, 2.5)):
            ends = {"x0": x0, "x1": x1, "y0": place - 0.38, "y1": place + 0.38}
            boxes.append({"type": "rect", **ends, "line": {"color": scheme.ink, "width": width}})
    figure.add_scatter(
        x=[float(height(kl.mean())) for _, _, kl in rows],
        y=list(range(len(rows))),
        mode="markers",
        name="mean over prompts (Δ)",
        marker={
            "symbol": "diamond",
            "size": scheme.size(10),
            "color": scheme.ring,
            "line": {"width": 1.5, "color": scheme.ground},
        },
        hovertext=[f"{escape(name)}: mean {kl.mean():.3g} nats" for name, _, kl in rows],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    figure.update_layout(shapes=boxes)  # all at once: one by one takes Plotly much longer
    values = np.concatenate([kl for _, _, kl in rows]).astype(float)
    figure.update_xaxes(**log_axis(values.tolist(), "KL on one prompt (nats)", scheme))
    figure.update_yaxes(**lines_axis([name for name, _, _ in rows], scheme))
    return figure
