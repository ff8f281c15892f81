"""Readings layer by token: what one lens says, or two lenses and how far apart they are."""

import numpy as np
import pandas as pd
import streamlit as st

from app.components.plotly_view import plotly_view
from app.figures.lens_table import Cells, lens_figure, top_text
from app.figures.style import Look
from app.panels.ablations_tables import as_table, number_columns
from app.panels.lens_choice import choose_lens
from app.panels.lens_data import (
    MOST_ROWS,
    STATISTICS,
    lens_title,
    row_name,
    rows_shown,
    statistic,
    top_words,
)
from engine.runs import Run

ROW = 30  # px
WIDEST = 16  # tokens side by side
DISTANCES = {"lens_js": "JS between both (nats)", "lens_kl": "KL(first ‖ second) (nats)"}


def choose_statistic() -> str:
    """Draw the chooser of what colours show and return it."""
    if st.session_state.get("lens-statistic") not in STATISTICS:
        st.session_state["lens-statistic"] = "probability"
    return st.selectbox(
        "Colour",
        list(STATISTICS),
        key="lens-statistic",
        format_func=STATISTICS.__getitem__,
        width=300,
        persist_state="session",
    )


def choose_part(run: Run) -> tuple[list[int], slice]:
    """Draw the choosers of rows and of tokens, where there are many; return what is shown."""
    rows, n = run.result["places"], len(run.result["tokens"])
    every, tokens = 1, slice(0, n)
    if len(rows) > MOST_ROWS:
        least = -(-len(rows) // MOST_ROWS)
        if st.session_state.get("lens-stride") not in range(1, 100):
            st.session_state["lens-stride"] = least
        every = int(
            st.number_input(
                "Every", 1, 99, key="lens-stride", help="Layers; the last row is always there.", width=120
            )
        )
    if n > WIDEST:
        first, last = st.slider(
            "Tokens", 1, n, (max(1, n - WIDEST + 1), n), key="lens-tokens", help="Which of them are shown."
        )
        tokens = slice(first - 1, last)
    return rows_shown(run, every), tokens


def one_lens(run: Run, scheme: Look) -> None:
    """Draw what one lens says at every layer and token."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        lens = choose_lens(run, "Lens", "lens-lens", "oca")
        name = choose_statistic()
        rows, tokens = choose_part(run)
    _table(run, lens, name, rows, tokens, "lens-table", scheme)


def two_lenses(run: Run, scheme: Look) -> None:
    """Draw two lenses one above the other, and how far apart they are."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        one = choose_lens(run, "First", "lens-first", "oca", narrow=True)
        other = choose_lens(run, "Second", "lens-second", "tuned", narrow=True)
        name = choose_statistic()
        if st.session_state.get("lens-distance") not in DISTANCES:
            st.session_state["lens-distance"] = "lens_js"
        distance = st.selectbox(
            "Difference",
            list(DISTANCES),
            key="lens-distance",
            format_func=DISTANCES.__getitem__,
            width=260,
            persist_state="session",
        )
        rows, tokens = choose_part(run)
    for lens, key in ((one, "lens-table-first"), (other, "lens-table-second")):
        st.markdown(f"**{lens_title(lens)}**")
        _table(run, lens, name, rows, tokens, key, scheme)
    names = run.result["lenses"]
    values = run.tensors[distance][names.index(one), names.index(other)]
    st.markdown(f"**{lens_title(one)} and {lens_title(other)}: {DISTANCES[distance]}**")
    words = [[f"{value:.2f}" for value in row] for row in values.tolist()]
    hover = [
        [f"{run.result['places'][i]}: {value:.3g} nats" for value in row]
        for i, row in enumerate(values.tolist())
    ]
    _draw(run, Cells(values, words, hover), rows, tokens, DISTANCES[distance], "lens-difference", scheme)
    as_table(
        _long(run, values, rows, tokens, "nats"), "lens-difference", "The difference", number_columns("nats")
    )


def _table(run: Run, lens: str, name: str, rows: list[int], tokens: slice, key: str, scheme: Look) -> None:
    values, words = statistic(run, name, lens), top_words(run, lens)
    shares, places, text = run.tensors[f"top_p.{lens}"], run.result["places"], run.result["tokens"]
    hover = [
        [
            top_text(
                row_name(places[i]),
                text[j],
                words[i][j],
                shares[i, j].tolist(),
                f"{STATISTICS[name]}: {values[i, j]:.3g}",
            )
            for j in range(len(text))
        ]
        for i in range(len(places))
    ]
    best = [[cell[0] for cell in row] for row in words]
    _draw(run, Cells(values, best, hover), rows, tokens, STATISTICS[name], key, scheme, lens_title(lens))
    table = _long(run, values, rows, tokens, STATISTICS[name])
    table["top word"] = [best[i][j] for i in rows for j in range(len(text))[tokens]]
    as_table(table, f"{key}-{lens}", f"What the {lens_title(lens)} says", number_columns(STATISTICS[name]))


def _draw(
    run: Run,
    cells: Cells,
    rows: list[int],
    tokens: slice,
    title: str,
    key: str,
    scheme: Look,
    what: str = "The difference",
) -> None:
    shown = Cells(
        cells.values[rows, tokens],
        [cells.words[i][tokens] for i in rows],
        [cells.hover[i][tokens] for i in rows],
    )
    finite = shown.values[np.isfinite(shown.values)]
    low = 1.0 if title == STATISTICS["rank"] else 0.0
    high = 1.0 if title == STATISTICS["probability"] else float(finite.max(initial=low))
    plotly_view(
        lens_figure(
            shown,
            [row_name(run.result["places"][i]) for i in rows],
            run.result["tokens"][tokens],
            title,
            (low, high),
            scheme,
        ),
        key,
        f"{what}: {title} at every layer and token. The table below lists it.",
        height=min(70 + round(ROW * scheme.text * len(rows)), 900),
    )


def _long(run: Run, values: np.ndarray, rows: list[int], tokens: slice, title: str) -> pd.DataFrame:
    """Return the numbers of a table, one row a cell."""
    text = run.result["tokens"]
    return pd.DataFrame(
        [
            {"layer": run.result["places"][i], "position": j, "token": text[j], title: float(values[i, j])}
            for i in rows
            for j in range(len(text))[tokens]
        ]
    )
