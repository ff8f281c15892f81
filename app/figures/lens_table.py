"""What a lens says of a text: layers by tokens, each cell with its most probable word."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from app.figures.attention import DARK_SCALE, LIGHT_SCALE
from app.figures.style import Look, base_layout, escape

LONGEST = 11  # characters of a word in a cell
BAR = 12  # px


@dataclass(frozen=True)
class Cells:
    """What is drawn, [rows, tokens] each.

    Attributes:
        values: what the colours show; nan leaves a cell without one.
        words: in the cells.
        hover: of the cells, as HTML.
    """

    values: np.ndarray
    words: list[list[str]]
    hover: list[list[str]]


def lens_figure(
    cells: Cells,
    rows: Sequence[str],
    tokens: Sequence[str],
    title: str,
    span: tuple[float, float],
    scheme: Look,
) -> go.Figure:
    """Return the table, the first layer at the bottom and the model's output on top.

    Args:
        rows: names of the rows.
        tokens: the text; a lens says what follows each.
        title: of the colours.
        span: values at their ends.
    """
    font = {"size": scheme.size(12), "color": scheme.muted}
    figure = go.Figure(
        go.Heatmap(
            z=cells.values,
            zmin=span[0],
            zmax=span[1] if span[1] > span[0] else span[0] + 1,
            colorscale=DARK_SCALE if scheme.mode == "dark" else LIGHT_SCALE,
            xgap=2,
            ygap=2,
            hoverongaps=False,
            text=[[escape(shortened(word)) for word in row] for row in cells.words],
            texttemplate="%{text}",
            textfont={"size": scheme.size(12)},
            customdata=cells.hover,
            hovertemplate="%{customdata}<extra></extra>",
            colorbar={
                "thickness": BAR,
                "outlinewidth": 0,
                "nticks": 6,
                "tickfont": font,
                "title": {"text": escape(title), "font": font, "side": "right"},
            },
        ),
        layout=base_layout(
            scheme, margin={"l": 8, "r": 8, "t": 8, "b": 8}, hovermode="closest", dragmode=False
        ),
    )
    labels = {"showgrid": False, "zeroline": False, "ticks": "", "automargin": True, "fixedrange": True}
    figure.update_xaxes(
        **labels,
        tickvals=list(range(len(tokens))),
        ticktext=[escape(shortened(token)) for token in tokens],
        tickangle=0 if len(tokens) <= 14 else -40,
        tickfont={"size": scheme.size(12), "color": scheme.ink},
        range=[-0.5, len(tokens) - 0.5],
    )
    figure.update_yaxes(
        **labels,
        tickvals=list(range(len(rows))),
        ticktext=list(rows),
        tickfont=font,
        ticklabelstandoff=4,
        range=[-0.5, len(rows) - 0.5],
    )
    return figure


def shortened(word: str) -> str:
    """Return a word as it stands in a cell: spaces are shown where there is nothing else."""
    shown = word.replace("\n", "⏎").strip() or "␣"
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


def top_text(row: str, token: str, words: Sequence[str], shares: Sequence[float], more: str) -> str:
    """Return the hover text of a cell: the most probable words, one a line, in a fixed width.

    Args:
        row, token: where it stands.
        words, shares: the words and their probabilities, best first.
        more: a last line.
    """
    widest = max(len(repr(word)) for word in words)
    lines = [
        _fixed(repr(word).ljust(widest + 1) + f"{share:.1%}".rjust(6))
        for word, share in zip(words, shares, strict=True)
    ]
    body = "<br>".join(lines)
    head = f"<b>{escape(row)}</b>, after {escape(repr(token))}"
    return f"{head}<br><span style='font-family:monospace'>{body}</span><br>{escape(more)}"


def _fixed(text: str) -> str:
    """Return text whose spaces all count."""
    return escape(text).replace(" ", "&nbsp;")
