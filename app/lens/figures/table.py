"""Figure of a lens on a text: layers by tokens, each cell with its most probable word."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from app.figures.attention import DARK_SCALE, LIGHT_SCALE
from app.figures.style import Look, base_layout, escape
from app.lens.figures.scale import Scale, stands_out_dark

SHORTEST, LONGEST = 5, 11  # characters of a word in a cell, at most
WIDTH = 112  # characters in a row of cells on a small screen
BAR = 12  # px
SHARES = 12  # blocks of a bar in the hover text that stand for a probability of 1


@dataclass(frozen=True)
class Cells:
    """Contents of the cells, [rows, tokens] each.

    Attributes:
        values: the values shown as colours; nan leaves a cell without colour.
        words: text in the cells.
        hover: hover text of the cells, as HTML.
    """

    values: np.ndarray
    words: list[list[str]]
    hover: list[list[str]]


def lens_figure(
    cells: Cells,
    rows: Sequence[str],
    tokens: Sequence[str],
    title: str,
    scale: Scale,
    scheme: Look,
) -> go.Figure:
    """Return the table, the first layer at the bottom and the model's output on top.

    Args:
        rows: names of the rows.
        tokens: tokens of the text; a lens predicts the token after each.
        title: title of the figure.
        scale: the colour scale.
    """
    font = {"size": scheme.size(12), "color": scheme.muted}
    colours, shares = DARK_SCALE if scheme.mode == "dark" else LIGHT_SCALE, scale.shares(cells.values)
    figure = go.Figure(
        layout=base_layout(
            scheme,
            title={
                "text": escape(title),
                "font": {"size": scheme.size(13), "color": scheme.ink},
                "x": 0,
                "xref": "paper",
                "y": 1,
                "yref": "container",
                "yanchor": "top",
                "pad": {"t": 6},
            },
            margin={"l": 8, "r": 8, "t": scheme.size(30), "b": 8},
            hovermode="closest",
            dragmode=False,
            coloraxis={
                "cmin": 0,
                "cmax": 1,
                "colorscale": colours,
                "colorbar": {
                    "thickness": BAR,
                    "outlinewidth": 0,
                    "tickfont": font,
                    **scale.ticks(),
                },
            },
        )
    )
    n = max(SHORTEST, min(LONGEST, round(WIDTH / len(tokens) / scheme.text)))
    texts = [[escape(shortened(word, n)) for word in row] for row in cells.words]
    slanted = [[f"<i>{text}</i>" for text in row] for row in texts]  # no value is not the lowest one
    # A trace for each colour of text, so that it stands out; cells without a value are the third.
    filled, dark = ~np.isnan(shares), stands_out_dark(colours, shares)
    ground = {"colorscale": [[0, scheme.band], [1, scheme.band]], "showscale": False}
    for ink, mask, written, how in (
        (scheme.muted, ~filled, slanted, ground),
        ("#000000", filled & dark, texts, {"coloraxis": "coloraxis"}),
        ("#FFFFFF", filled & ~dark, texts, {"coloraxis": "coloraxis"}),
    ):
        if not mask.any():
            continue
        figure.add_heatmap(
            z=np.where(mask, np.nan_to_num(shares), np.nan),
            text=_where(mask, written),
            customdata=_where(mask, cells.hover),
            texttemplate="%{text}",
            textfont={"size": scheme.size(12), "color": ink},
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=False,
            xgap=2,
            ygap=2,
            **how,
        )
    labels = {"showgrid": False, "zeroline": False, "ticks": "", "automargin": True, "fixedrange": True}
    figure.update_xaxes(
        **labels,
        tickvals=list(range(len(tokens))),
        ticktext=[escape(shortened(token, LONGEST)) for token in tokens],
        tickangle=0 if len(tokens) <= 14 / scheme.text else -40,
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


def _where(drawn: np.ndarray, texts: list[list[str]]) -> list[list[str]]:
    """Return the texts of the cells `drawn` (bool), "" for the others."""
    return [
        [text if shown else "" for text, shown in zip(row, mask, strict=True)]
        for row, mask in zip(texts, drawn.tolist(), strict=True)
    ]


def shortened(word: str, longest: int) -> str:
    """Return the text of a word in a cell, cut to `longest` characters; spaces alone become ␣."""
    shown = word.replace("\n", "⏎").strip() or "␣"
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def top_text(row: str, token: str, words: Sequence[str], shares: Sequence[float], more: str) -> str:
    """Return the hover text of a cell: the most probable words with bars, one a line, in a fixed width.

    Args:
        row, token: names of its row and its token.
        words, shares: the words and their probabilities, best first.
        more: a last line.
    """
    widest = max(len(repr(word)) for word in words)
    bars = np.clip(np.nan_to_num(shares), 0, 1) * SHARES  # a run that was imported may say anything
    lines = [
        _fixed(repr(word).ljust(widest + 1) + f"{share:.1%}".rjust(6) + f" {'█' * round(bar)}")
        for word, share, bar in zip(words, shares, bars.tolist(), strict=True)
    ]
    body = "<br>".join(lines)
    head = f"<b>{escape(row)}</b>, after {escape(repr(token))}"
    return f"{head}<br><span style='font-family:monospace'>{body}</span><br>{escape(more)}"


def _fixed(text: str) -> str:
    """Return text with spaces that HTML does not collapse."""
    return escape(text).replace(" ", "&nbsp;")
