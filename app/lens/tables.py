"""Panels of readings, layer by token: one lens, or two lenses and the distance between them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app.components.plotly_view import plotly_view
from app.figures.style import Look
from app.importance.tables import number_columns
from app.lens.choice import about_lens, choose_lens
from app.lens.data import (
    RANKS,
    STATISTICS,
    UNBOUNDED,
    ReadRun,
    finite,
    in_a_sentence,
    lens_title,
    row_name,
    statistic,
    word_of,
)
from app.lens.figures.scale import Scale
from app.lens.figures.table import Cells, lens_figure, top_text
from app.lens.part import Part, choose_part
from app.parts.options import choose_option
from app.parts.table import as_table
from app.text import plain

ROW = 30  # px
# What a statistic compares a cell with: at the end there is none.
AFTER = {"step_js": "row", "step_kl": "row", "cross_entropy": "token", "next_rank": "token"}
DISTANCES = {"lens_js": "JS between both (nats)", "lens_kl": "KL(first ‖ second) (nats)"}


def choose_statistic() -> str:
    """Draw the chooser of the statistic shown by colours and return its name."""
    return choose_option("Colour", "lens-statistic", list(STATISTICS), STATISTICS.__getitem__, width=290)


def one_lens(run: ReadRun, scheme: Look) -> None:
    """Draw the predictions of one lens at every layer and token."""
    with st.container(horizontal=True):
        lens = choose_lens(run, "Lens", "lens-lens", "oca")
        name = choose_statistic()
        part = choose_part(run)
    _table(run, [lens], name, part, ["lens-table"], scheme)


def two_lenses(run: ReadRun, scheme: Look) -> None:
    """Draw two lenses on one colour scale, and the distance between them."""
    names = run.result.lenses
    if len(names) == 1:
        st.info(
            f"Only the {plain(lens_title(names[0]))} read this text: press **Read** on the left to have it "
            "read by every lens.",
            icon=":material/compare:",
        )
        return
    with st.container(horizontal=True):
        first = choose_lens(run, "First", "lens-first", "oca", narrow=True)
        second = choose_lens(run, "Second", "lens-second", "tuned", narrow=True)
        name = choose_statistic()
        distance = choose_option(
            "Difference", "lens-distance", list(DISTANCES), DISTANCES.__getitem__, width=260
        )
        part = choose_part(run)
    _table(run, [first, second], name, part, ["lens-table-first", "lens-table-second"], scheme)
    values = part.of(finite(run.tensors[distance][names.index(first), names.index(second)]))
    cells = Cells(
        values,
        [["–" if np.isnan(value) else f"{value:.2f}" for value in row] for row in values.tolist()],
        [
            [f"{row_name(run.result.places[i])}: {_in_nats(value)}" for value in row]
            for i, row in zip(part.rows, values.tolist(), strict=True)
        ],
    )
    scale = Scale(0.0, float(np.nanmax(values, initial=0.0)), "linear" if distance == "lens_js" else "root")
    title = f"{lens_title(first)} and {lens_title(second)}: {DISTANCES[distance]}"
    _draw(run, cells, part, title, scale, "lens-difference", scheme)
    as_table(
        pd.DataFrame(_long(run, values, part, "nats")),
        "lens-difference",
        "The difference",
        number_columns("nats"),
    )


def _table(
    run: ReadRun, shown: Sequence[str], name: str, part: Part, keys: Sequence[str], scheme: Look
) -> None:
    """Draw the predictions of lenses, one below the other, on one colour scale."""
    of_lens = {lens: part.of(statistic(run, name, lens)) for lens in shown}
    scale = _scale(name, list(of_lens.values()))
    for lens, key in zip(shown, keys, strict=True):
        st.caption(f"**{plain(lens_title(lens))}**: {about_lens(lens)}")
        values = of_lens[lens]
        ids, shares = (part.of(run.tensors[f"{part_name}.{lens}"]) for part_name in ("top_ids", "top_p"))
        words = [[[word_of(run, token) for token in cell] for cell in row] for row in ids.tolist()]
        best = [[cell[0] for cell in row] for row in words]
        hover = [
            [
                top_text(
                    row_name(run.result.places[row]),
                    run.result.tokens[token],
                    words[i][j],
                    shares[i, j].tolist(),
                    _said(name, float(values[i, j])),
                )
                for j, token in enumerate(part.tokens)
            ]
            for i, row in enumerate(part.rows)
        ]
        title = f"{lens_title(lens)}: top word after each token; colour: {in_a_sentence(STATISTICS[name])}"
        _draw(run, Cells(values, best, hover), part, title, scale, key, scheme)
        table = _long(run, values, part, STATISTICS[name])
        for i, row in enumerate(table):
            at = divmod(i, len(part.tokens))
            row["top word"] = best[at[0]][at[1]]
            row["ten most probable"] = _listed(words[at[0]][at[1]], shares[at].tolist())
        as_table(
            pd.DataFrame(table),
            f"{key}-{lens}",
            f"What the {lens_title(lens)} says",
            number_columns(STATISTICS[name]),
        )


def _listed(words: Sequence[str], shares: Sequence[float]) -> str:
    return " · ".join(f"{word.strip() or '␣'} {share:.1%}" for word, share in zip(words, shares, strict=True))


def _in_nats(value: float) -> str:
    return "no value" if np.isnan(value) else f"{value:.3g} nats"


def _said(name: str, value: float) -> str:
    """Return a cell's statistic as text."""
    if np.isnan(value):
        return f"No {AFTER[name]} comes after it" if name in AFTER else f"{STATISTICS[name]}: no value"
    shown = f"{value:.1%}" if name == "probability" else f"{value:,.0f}" if name in RANKS else f"{value:.3g}"
    return f"{STATISTICS[name]}: {shown}"


def _scale(name: str, several: Sequence[np.ndarray]) -> Scale:
    """Return the colour scale for values shown side by side."""
    if name == "probability":
        return Scale(0.0, 1.0)
    low = 1.0 if name in RANKS else 0.0
    high = max(float(np.nanmax(values, initial=low)) for values in several)
    return Scale(low, high, "log" if name in RANKS else "root" if name in UNBOUNDED else "linear")


def _draw(run: ReadRun, cells: Cells, part: Part, title: str, scale: Scale, key: str, scheme: Look) -> None:
    """Draw cells of a part."""
    result = run.result
    plotly_view(
        lens_figure(
            cells,
            [row_name(result.places[i]) for i in part.rows],
            [result.tokens[j] for j in part.tokens],
            title,
            scale,
            scheme,
        ),
        key,
        f"{title}, by layer and token. The table below lists it.",
        height=min(92 + ROW * len(part.rows), 900),
    )


def _long(run: ReadRun, values: np.ndarray, part: Part, title: str) -> list[dict[str, Any]]:
    """Return the values of a table, one row per cell."""
    result = run.result
    return [
        {
            "layer": row_name(result.places[row]),
            "position": token,
            "token": result.tokens[token],
            title: float(values[i, j]),
        }
        for i, row in enumerate(part.rows)
        for j, token in enumerate(part.tokens)
    ]
