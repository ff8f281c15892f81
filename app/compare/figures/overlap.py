"""Figures of the overlap of circuits: a bar for two circuits, a matrix for more."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app.figures.attention import DARK_SCALE, LIGHT_SCALE
from app.figures.marks import Mark
from app.figures.style import Look, base_layout, faded
from engine.circuits.overlap import Overlap


def pair_figure(first: Mark, second: Mark, overlaps: Mapping[str, Overlap], scheme: Look) -> go.Figure:
    """Return one bar per kind (edges, nodes): only in the first circuit, in both, only in the second.

    A dashed line in the middle part marks the overlap expected by chance.

    Args:
        overlaps: by the kind counted, such as "edges".
    """
    names = list(overlaps)
    figure = go.Figure(
        layout=base_layout(
            scheme,
            barmode="stack",
            bargap=0.45,
            margin={"l": scheme.size(56), "r": 8, "t": scheme.size(30), "b": 8},
            hovermode="closest",
            dragmode=False,
            showlegend=True,
            legend={
                "orientation": "h",
                "x": 0,
                "y": 1,
                "yanchor": "bottom",
                "traceorder": "normal",
                "itemclick": False,
                "itemdoubleclick": False,
                "font": {"size": scheme.size(12), "color": scheme.ink},
            },
        )
    )
    parts = (
        (
            f"only {first.letter}",
            faded(first.colour, 0.75),
            [overlap.only_first for overlap in overlaps.values()],
        ),
        ("in both", scheme.faint, [overlap.shared for overlap in overlaps.values()]),
        (
            f"only {second.letter}",
            faded(second.colour, 0.75),
            [overlap.only_second for overlap in overlaps.values()],
        ),
    )
    either = np.array(
        [max(overlap.shared + overlap.only_first + overlap.only_second, 1) for overlap in overlaps.values()]
    )
    for name, colour, counts in parts:
        figure.add_bar(
            orientation="h",
            y=names,
            x=np.array(counts) / either,
            name=name,
            marker={"color": colour},
            text=[f"<b>{count:,}</b>" if count else "" for count in counts],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            textfont={"size": scheme.size(13), "color": scheme.ink},
            hovertext=[f"{count:,} {kind} {name}" for count, kind in zip(counts, names, strict=True)],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    figure.update_layout(
        shapes=[_chance(place, overlap, scheme) for place, overlap in enumerate(overlaps.values())]
    )
    figure.add_scatter(
        x=[None],
        y=[None],
        mode="lines",
        name="shared by chance",
        line={"color": scheme.ink, "width": 1.5, "dash": "dot"},
    )
    figure.update_xaxes(visible=False, range=[0, 1], fixedrange=True)
    figure.update_yaxes(
        autorange="reversed",
        fixedrange=True,
        ticks="",
        ticksuffix="  ",
        showgrid=False,
        zeroline=False,
        tickfont={"size": scheme.size(13), "color": scheme.ink},
    )
    return figure


def matrix_figure(
    letters: Sequence[str], overlaps: Mapping[tuple[int, int], Overlap], scheme: Look
) -> go.Figure:
    """Return the matrix of Jaccard indices of several circuits.

    Args:
        letters: of the circuits, in order.
        overlaps: by the indices (i, j) of two circuits, i < j; pairs without an overlap stay empty.
    """
    n = len(letters)
    jaccard, texts = np.full((n, n), np.nan), np.full((n, n), "", dtype=object)
    notes: list[dict[str, Any]] = []
    dark = scheme.mode == "dark"
    for (i, j), overlap in overlaps.items():
        for row, column in ((i, j), (j, i)):
            if overlap.jaccard is not None:
                jaccard[row, column] = overlap.jaccard
                strong = (
                    overlap.jaccard > 0.5
                )  # there the scale is dark on a light page, and light on a dark one
                colour = scheme.ground if strong else scheme.ink
                notes.append(
                    {"x": column, "y": row, "text": f"{overlap.jaccard:.2f}", "font": {"color": colour}}
                )
            texts[row, column] = (
                f"<b>{letters[i]} and {letters[j]}</b><br>{overlap.shared:,} shared, "
                f"{overlap.expected:.1f} expected by chance"
            )
    figure = go.Figure(
        go.Heatmap(
            z=jaccard,
            zmin=0,
            zmax=1,
            colorscale=DARK_SCALE if dark else LIGHT_SCALE,
            showscale=False,
            xgap=2,
            ygap=2,
            hoverongaps=False,
            customdata=texts,
            hovertemplate="%{customdata}<br>Jaccard %{z:.3f}<extra></extra>",
        ),
        layout=base_layout(
            scheme,
            margin={"l": 8, "r": 8, "t": 8, "b": 8},
            hovermode="closest",
            dragmode=False,
            annotations=[note | {"showarrow": False} for note in notes],
        ),
    )
    labels = {"tickvals": list(range(n)), "ticktext": list(letters), "showgrid": False, "zeroline": False}
    labels |= {"tickfont": {"size": scheme.size(13), "color": scheme.ink}, "automargin": True}
    labels |= {"ticks": "", "fixedrange": True}
    figure.update_xaxes(**labels, side="top", range=[-0.5, n - 0.5])
    figure.update_yaxes(**labels, range=[n - 0.5, -0.5])
    return figure


def _chance(place: int, overlap: Overlap, scheme: Look) -> dict[str, Any]:
    """Return the line in a bar that marks the overlap expected by chance."""
    either = max(overlap.shared + overlap.only_first + overlap.only_second, 1)
    x = (overlap.only_first + overlap.expected) / either
    line = {"color": scheme.ink, "width": 1.5, "dash": "dot"}
    return {"type": "line", "x0": x, "x1": x, "y0": place - 0.36, "y1": place + 0.36, "line": line}
