"""Single heads over all prompts of a task: the largest average effects, with intervals."""

from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from app.components.plotly_view import plotly_view
from app.figures.style import Look
from app.importance.tables import number_columns
from app.parts.table import as_table
from app.trace.choice import Shown
from app.trace.figures.lines import Profile, intervals_figure
from app.trace.profiles import profile_of, table_rows
from engine.tracing.names import TokenClass

MOST = 12  # heads drawn


def heads_panel(shown: Shown, token_class: TokenClass, scheme: Look) -> None:
    """Draw the heads with the largest average effect at one class of tokens, and list all."""
    profiles = [
        profile_of(run, run.result.classes[token_class].effects[shown.metric], scheme)
        for run in shown.runs.values()
    ]
    n_heads = shown.first.result.n_heads
    names = [f"{i // n_heads}.{i % n_heads}" for i in range(len(profiles[0].mean))]
    largest = _largest(profiles)
    drawn = [
        replace(profile, mean=profile.mean[largest], low=profile.low[largest], high=profile.high[largest])
        for profile in profiles
    ]
    st.markdown(f"**The heads with the largest average effect at the {token_class} token**")
    plotly_view(
        intervals_figure([names[i] for i in largest], drawn, shown.words, scheme),
        "trace-heads",
        f"Average effect of {len(largest)} heads at the {token_class} token, with 95 % intervals. The table "
        "below lists all heads.",
        height=90 + round(30 * scheme.text * len(largest)),
    )
    st.caption(
        f"The {len(largest)} of {len(names)} heads with the largest average effect under any corruption, as "
        "layer.head. Intervals are 95 % by bootstrap over prompts, of each head by itself: of the largest of "
        "many, some are large by chance."
    )
    as_table(
        pd.DataFrame(table_rows(profiles, "head", names)),
        "trace-heads-table",
        f"The average effect of every head at the {token_class} token",
        number_columns("mean", "low", "high"),
    )


def _largest(profiles: list[Profile]) -> list[int]:
    """Return the indices of the largest effects under any corruption, the largest first."""
    best = np.max([np.nan_to_num(profile.mean, nan=-np.inf) for profile in profiles], 0)
    return np.argsort(-best, kind="stable")[:MOST].tolist()
