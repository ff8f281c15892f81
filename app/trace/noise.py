"""The panel of the corrupted answer over the level of Gaussian noise."""

import pandas as pd
import streamlit as st

from app.components.plotly_view import plotly_view
from app.figures.estimates import numbers_of
from app.figures.style import Look
from app.importance.tables import number_columns
from app.parts.table import as_table
from app.text import plain
from app.trace.choice import Shown
from app.trace.data import TraceRun, TraceSubject, shape_of
from app.trace.figures.lines import Profile, profiles_figure
from app.trace.profiles import profile_of, table_rows


def noise_panel(subject: TraceSubject, shown: Shown, scheme: Look) -> None:
    """Draw the metric of the answer over the levels of noise, beside clean, if there are at least two levels.

    For each level, the run with default settings is taken.
    """
    of_level: dict[float, TraceRun] = {}
    for run in subject.of(shown.state, shown.window, "gaussian"):
        level = run.request.ablation_settings.get("noise")
        if isinstance(level, int | float) and shape_of(run) == shape_of(shown.first):
            of_level.setdefault(float(level), run)
    if len(of_level) < 2:
        return
    levels = sorted(of_level)
    runs = [of_level[level] for level in levels]
    clean = [run.result.clean[shown.metric] for run in runs]
    corrupted = [run.result.corrupted[shown.metric] for run in runs]
    profiles = [
        profile_of(runs[0], corrupted, scheme),
        Profile("Clean", scheme.muted, "circle-open", *numbers_of(clean)),
    ]
    st.markdown("**What the answer is worth, by noise level**")
    left, _ = st.columns(2, gap="medium")
    with left:
        plotly_view(
            profiles_figure(profiles, shown.words, scheme, "standard deviations of noise", levels),
            "trace-noise",
            f"The {shown.words} with nothing restored over the level of Gaussian noise, and clean. The table "
            "below lists it.",
            height=260,
        )
        over = "draws of noise" if subject.own else "prompts"
        ids = ", ".join(run.run_id for run in runs)
        st.caption(plain(f"With nothing restored. Bands are 95 % intervals over {over}. Runs {ids}."))
        as_table(
            pd.DataFrame(table_rows(profiles, "noise", levels)),
            "trace-noise-table",
            "What the answer is worth at every level of noise",
            number_columns("mean", "low", "high"),
        )
