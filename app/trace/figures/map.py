"""Figure of the effects of restoring states: layers by tokens, by classes of tokens, or by heads."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from app.figures.attention import DARK_SCALE, LIGHT_SCALE
from app.figures.style import Look, base_layout, escape

# Both ends are told apart under the common kinds of colour blindness; the middle is the ground of the page.
_DIFFERENCE = {
    "light": [[0.0, "#9A4A00"], [0.25, "#F2A65A"], [0.5, "#F7F7F7"], [0.75, "#9B8CC4"], [1.0, "#3F1C77"]],
    "dark": [[0.0, "#FFC58A"], [0.25, "#B06A22"], [0.5, "#1D2229"], [0.75, "#6C5BA6"], [1.0, "#C9BCF2"]],
}
LONGEST = 15  # characters of a name under a column
MOST_NUMBERS = 60  # cells, up to which each has its number
LEAST_SPAN = 0.02  # from which numbers of two decimals say anything


def map_figure(
    effects: np.ndarray,
    columns: Sequence[str],
    span: float,
    scheme: Look,
    difference: bool = False,
    across: str = "",
    selected: tuple[int, int] | None = None,
    starred: np.ndarray | None = None,
) -> go.Figure:
    """Return the map of effects, the first layer at the bottom as in the circuit graph.

    Args:
        effects: [n_layers, n_columns]; nan where there is none.
        columns: labels of the columns.
        span: the effect at the end of the colours; effects below 0 have the colour of 0, unless it is a map
            of differences, whose colours go to minus `span` on the other side.
        across: title of the axis of columns.
        selected: layer and column with a ring.
        starred: bool [n_layers, n_columns], the cells marked with a star.
    """
    n_layers, n_columns = effects.shape
    font = {"size": scheme.size(12), "color": scheme.muted}
    scale = _DIFFERENCE[scheme.mode] if difference else DARK_SCALE if scheme.mode == "dark" else LIGHT_SCALE
    names = [escape(name) for name in columns]
    short = [escape(name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…") for name in columns]
    figure = go.Figure(
        go.Heatmap(
            z=effects,
            zmin=-span if difference else 0,
            zmax=span,
            colorscale=scale,
            xgap=2,
            ygap=2,
            hoverongaps=False,
            customdata=[[f"{layer},{column}" for column in range(n_columns)] for layer in range(n_layers)],
            text=[[f"<b>{name}</b>, layer {layer}" for name in names] for layer in range(n_layers)],
            hovertemplate="%{text}<br>%{z:.3g}<extra></extra>",
            colorbar={
                "orientation": "h",
                "x": 0.5,
                "y": 1.0,
                "yanchor": "bottom",
                "ypad": 6,
                "len": 0.9,
                "thickness": 8,
                "outlinewidth": 0,
                "nticks": 5,
                "tickfont": font,
            },
        ),
        layout=base_layout(
            scheme,
            margin={"l": 8, "r": 8, "t": scheme.size(30), "b": 8, "autoexpand": True},
            hovermode="closest",
            dragmode=False,
        ),
    )
    labels = {"showgrid": False, "zeroline": False, "ticks": "", "automargin": True, "fixedrange": True}
    every = 1 if n_layers <= 24 else 4
    figure.update_xaxes(
        **labels,
        tickvals=list(range(n_columns)),
        ticktext=short,
        ticklabeloverflow="allow",  # else the first name goes; the margin grows with it
        tickangle=-40 if max(map(len, columns), default=0) > 2 else 0,
        tickfont={"size": scheme.size(12 if n_columns <= 20 else 10), "color": scheme.ink},
        range=[-0.5, n_columns - 0.5],
        title={"text": across, "font": font, "standoff": 18} if across else None,
    )
    rows = list(range(0, n_layers, every))
    figure.update_yaxes(
        **labels,
        tickvals=rows,
        ticktext=[f"L{row}" for row in rows],
        tickfont=font,
        ticklabelstandoff=4,
        range=[-0.5, n_layers - 0.5],
    )
    stars = np.zeros(effects.shape, dtype=bool) if starred is None else starred
    figure.update_layout(annotations=_numbers(effects, span, difference, scheme, stars))
    if selected is not None:
        layer, column = selected
        ends = {"x0": column - 0.5, "x1": column + 0.5, "y0": layer - 0.5, "y1": layer + 0.5}
        figure.add_shape(type="rect", **ends, line={"color": scheme.ring, "width": 3})
    return figure


def _numbers(
    effects: np.ndarray, span: float, difference: bool, scheme: Look, stars: np.ndarray
) -> list[dict[str, object]]:
    """Return the texts in the cells: stars, and numbers unless the cells are too many or too small."""
    notes = []
    numbers = effects.size <= MOST_NUMBERS and span >= LEAST_SPAN
    for layer, column in np.argwhere(np.isfinite(effects) & (stars | numbers)).tolist():
        value = float(effects[layer, column])
        strong = (abs(value) if difference else value) > 0.55 * span
        notes.append(
            {
                "x": column,
                "y": layer,
                "text": (number_text(value) if numbers else "") + "*" * bool(stars[layer, column]),
                "showarrow": False,
                "yshift": 0 if numbers else -4,  # a star alone is large, and hangs high in its line
                "font": {
                    "size": scheme.size(11 if numbers else 18),
                    "color": scheme.ground if strong else scheme.ink,
                },
            }
        )
    return notes


def number_text(value: float) -> str:
    """Return the text of an effect in a cell: two decimals, with the sign unless it rounds to 0."""
    text = f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
    if abs(float(text)) < 1:
        text = text.replace("0.", ".", 1)
    return "0" if float(text) == 0 else text.replace("-", "−")
