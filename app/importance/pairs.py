"""The panel of two ablations, component by component, and of the agreement of every pair of ablations."""

from itertools import combinations
from typing import Any

import pandas as pd
import streamlit as st

from app.components.plotly_view import plotly_view
from app.figures.style import Look
from app.importance.choice import choose_series, first_of, on_component
from app.importance.components import costs
from app.importance.data import Measured
from app.importance.figures.scatter import agreement_figure, scatter_figure
from app.importance.tables import conditioning_note, number_columns
from app.parts.table import as_table
from engine.instruments.importance.comparison import LEAST, Agreement, Interval, agreement

FIRST_X, FIRST_Y = ("mean", "zero"), ("optimal", "counterfactual")


def first_pair(measured: Measured) -> tuple[str, str]:
    """Return the keys of the two ablations compared by default."""
    x = first_of(measured, FIRST_X)
    return x, first_of(measured, FIRST_Y, but=x)


def pairs_panel(measured: Measured, selected: tuple[str, ...], scheme: Look) -> None:
    """Draw the scatter plot of two ablations and the matrix of all."""
    if len(measured.series) < 2:
        st.info("Two ablations are needed for a comparison. Measure another one.", icon=":material/compare:")
        return
    conditioning_note(measured.series)
    left, right = st.columns([1, 1.05], gap="medium")
    first = first_pair(measured)
    with left:
        across, up = st.columns(2)
        with across:
            x = choose_series(measured, "Across", "ablations-x", measured.series, first[0])
        with up:
            y = choose_series(measured, "Up", "ablations-y", measured.series, first[1])
        conditioning_note([x, y], short=True)
        pair = scatter_figure(
            measured.components,
            costs(x, measured.components, scheme),
            costs(y, measured.components, scheme),
            scheme,
            selected,
        )
        agreed = agreement(x.gaps, y.gaps)
        plotly_view(
            pair,
            "ablations-scatter",
            f"Components by their cost under {x.name} and under {y.name}. The table below lists them.",
            height=430,
            on_event=on_component,
        )
        st.markdown(_words(agreed))
        st.caption(
            "Circles are heads, squares MLPs; thin lines are 95 % intervals over prompts. On the dashed line "
            "a component costs the same under both."
        )
        as_table(
            pd.DataFrame(
                {"component": measured.components, x.name: x.gaps.mean, y.name: y.gaps.mean}
                if x is not y
                else {"component": measured.components, x.name: x.gaps.mean}
            ),
            "ablations-scatter-table",
            f"What every component costs under {x.name} and under {y.name}, nats",
            number_columns(x.name, y.name),
        )
    with right:
        st.markdown("**Rank correlation of every two ablations**")
        _matrix(measured, (x.key, y.key), scheme)


def _matrix(measured: Measured, shown: tuple[str, str], scheme: Look) -> None:
    agreed = agreements(measured)
    keys = list(measured.by_key)

    def choose(event: dict[str, Any]) -> None:
        if event["kind"] == "click" and event["id"]:
            column, row = (int(part) for part in event["id"].split(","))
            st.session_state["ablations-x"], st.session_state["ablations-y"] = keys[column], keys[row]

    names = [series.name for series in measured.series]
    plotly_view(
        agreement_figure(names, agreed, scheme, (keys.index(shown[0]), keys.index(shown[1]))),
        "ablations-agreement",
        "Spearman rank correlation of every two ablations. The table below lists it.",
        height=60 + round(38 * scheme.text * len(names)),
        on_event=choose,
        bar=False,
    )
    st.caption(
        "Spearman, over all heads and MLPs; the letters across are those of the rows. Click a cell to see "
        "the two against each other."
    )
    rows = [
        {
            "ablation": names[i],
            "and": names[j],
            "Spearman": pair.spearman,
            **_ends("Spearman", pair.spearman_ci),
            "Pearson of log Δ": pair.pearson,
            **_ends("Pearson", pair.pearson_ci),
            "components": pair.n,
        }
        for (i, j), pair in agreed.items()
    ]
    as_table(
        pd.DataFrame(rows),
        "ablations-agreement-table",
        "How far every two ablations agree",
        number_columns(
            "Spearman", "Spearman low", "Spearman high", "Pearson of log Δ", "Pearson low", "Pearson high"
        ),
    )


def agreements(measured: Measured) -> dict[tuple[int, int], Agreement]:
    """Return the agreement of every pair of series, by their indices (i, j), i < j."""
    return _agreements(tuple(series.run.run_id for series in measured.series), measured)


@st.cache_resource(max_entries=12, show_spinner=False)
def _agreements(run_ids: tuple[str, ...], _measured: Measured) -> dict[tuple[int, int], Agreement]:
    gaps = enumerate(series.gaps for series in _measured.series)
    return {(i, j): agreement(first, second) for (i, first), (j, second) in combinations(gaps, 2)}


def _words(agreed: Agreement) -> str:
    """Return the two correlations as one line of text."""
    parts = [
        f"{name} **{value:.3f}**" + ("" if ends is None else f" (95 %: {ends[0]:.2f} – {ends[1]:.2f})")
        if value is not None
        else f"{name} undefined"
        for name, value, ends in (
            ("Spearman", agreed.spearman, agreed.spearman_ci),
            ("Pearson of log Δ", agreed.pearson, agreed.pearson_ci),
        )
    ]
    less = agreed.n - agreed.n_log
    note = f" ({less} below {LEAST:g} nats left out of the latter)" if less else ""
    return f"{', '.join(parts)}; {agreed.n} components{note}."


def _ends(name: str, ends: Interval) -> dict[str, float | None]:
    low, high = ends or (None, None)
    return {f"{name} low": low, f"{name} high": high}
