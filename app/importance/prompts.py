"""The panel of the KL of one component on every prompt, under every ablation."""

import numpy as np
import pandas as pd
import streamlit as st

from app.components.plotly_view import plotly_view
from app.figures.style import Look
from app.importance.components import looked_at, mark_of
from app.importance.data import Measured, Series
from app.importance.figures.prompts import prompts_figure
from app.importance.tables import conditioning_note, number_columns
from app.parts.table import as_table

QUANTILES = {"lowest": 0.0, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95, "highest": 1.0}


def prompts_panel(measured: Measured, selected: tuple[str, ...], shown: Series, scheme: Look) -> None:
    """Draw the distribution over prompts for the component selected, or the one with the largest Δ."""
    node = looked_at(measured, selected, shown)
    with_prompts = [series for series in measured.series if node in series.prompts]
    if not with_prompts:
        st.info("These runs do not hold KL prompt by prompt.", icon=":material/scatter_plot:")
        return
    st.markdown(f"**{node} on every prompt**")
    conditioning_note(with_prompts)
    rows = [
        (series.name, mark_of(series, scheme), series.prompts[node].astype(float)) for series in with_prompts
    ]
    plotly_view(
        prompts_figure(rows, scheme),
        "ablations-prompts",
        f"KL on every prompt when {node} is ablated, under every ablation. The table below has quantiles.",
        height=90 + round(42 * scheme.text * len(rows)),
    )
    st.caption(
        "Every mark is a prompt; boxes are quartiles with the median. Where the mean stands far to the right "
        "of the median, a few prompts make up most of Δ: there the stand-in misleads the model."
    )
    table = [
        {"ablation": name, "mean": float(kl.mean())}
        | {word: float(np.quantile(kl, at)) for word, at in QUANTILES.items()}
        | {"prompts": len(kl)}
        for name, _, kl in rows
    ]
    as_table(
        pd.DataFrame(table),
        "ablations-prompts-table",
        f"KL (nats) over prompts when {node} is ablated",
        number_columns("mean", *QUANTILES),
    )
