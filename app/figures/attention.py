"""Attention pattern of one head on one prompt."""

import numpy as np
import plotly.graph_objects as go

from app.figures.style import Look, base_layout, escape

LIGHT_SCALE = [[0.0, "#F4F7FA"], [0.25, "#B9D3EA"], [0.6, "#4F93C9"], [1.0, "#08306B"]]
DARK_SCALE = [[0.0, "#1A1F26"], [0.3, "#1F4E79"], [0.7, "#4FA3DB"], [1.0, "#D6ECFF"]]


def attention_figure(pattern: np.ndarray, tokens: list[str], scheme: Look) -> go.Figure:
    """Return the heatmap of an attention pattern.

    Args:
        pattern: [positions, positions], rows are queries (who looks), columns keys (what is looked at).
        tokens: one string a position.
        scheme: colours of the page.
    """
    names = [escape(token) for token in tokens]
    n = len(names)
    shown = np.where(np.tri(n, dtype=bool), pattern.astype(np.float32), np.nan)
    labels = {
        "tickvals": list(range(n)),
        "ticktext": names,
        "showgrid": False,
        "zeroline": False,
        "ticks": "",
    }
    labels |= {
        "tickfont": {"size": scheme.size(12 if n <= 16 else 10), "color": scheme.muted},
        "fixedrange": True,
    }
    figure = go.Figure(
        go.Heatmap(
            z=shown,
            zmin=0,
            zmax=1,
            colorscale=DARK_SCALE if scheme.mode == "dark" else LIGHT_SCALE,
            showscale=False,
            xgap=1,
            ygap=1,
            hoverongaps=False,
            customdata=[[f"{query} → {key}" for key in names] for query in names],
            hovertemplate="%{customdata}<br>%{z:.1%}<extra></extra>",
        ),
        layout=base_layout(scheme, margin={"l": 8, "r": 8, "t": 8, "b": 8}, hovermode="closest"),
    )
    figure.update_xaxes(**labels, tickangle=-55, automargin=True, range=[-0.5, n - 0.5])
    figure.update_yaxes(**labels, automargin=True, range=[n - 0.5, -0.5])
    return figure
