"""Effects over all prompts of a task: profiles over layers, their concentration, where prompts peak."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app.components.plotly_view import plotly_view
from app.figures.ablations_marks import ablation_mark
from app.figures.style import Look
from app.figures.trace_lines import Profile, intervals_figure, peaks_figure, profiles_figure
from app.panels.ablations_tables import as_table, number_columns
from app.panels.trace_choice import Shown
from app.panels.trace_data import CORRUPTION_NAMES, METRIC_NAMES
from engine.runs import Run
from engine.tracing.cells import METRICS
from engine.tracing.effects import peaks
from engine.tracing.prompts import CLASSES

MEASURES = {"effect": "Average effect", "share": "Share recovered"}
PEAK_FROM = 0.1  # of a prompt's lost probability: the effect from which a prompt has a peak
LEAST = 0.01  # of an effect that counts, however little was lost


def average_panel(shown: Shown, scheme: Look) -> None:
    """Draw one class of tokens over layers, then all classes."""
    first = next(iter(shown.runs.values()))
    classes = [name for name, one in first.result["classes"].items() if one["share"][0] is not None]
    if not classes:
        st.info("No probability was lost, so there is nothing to recover: take more noise or prompts.")
        return
    for key, options, start in (
        ("trace-class", classes, classes[-1]),
        ("trace-measure", list(MEASURES), "effect"),
    ):
        if st.session_state.get(key) not in options:
            st.session_state[key] = start
    with st.container(horizontal=True):
        st.segmented_control("Token", classes, key="trace-class", required=True, persist_state="session")
        st.segmented_control(
            "Measure",
            list(MEASURES),
            key="trace-measure",
            format_func=MEASURES.__getitem__,
            required=True,
            persist_state="session",
        )
    token_class = st.session_state["trace-class"]
    measure = st.session_state["trace-measure"]
    left, right = st.columns(2, gap="medium")
    with left:
        _profiles(shown, token_class, measure, scheme)
    with right:
        _peaks(shown, token_class, scheme)
    _concentration(shown, classes, scheme)


def profile_of(run: Run, estimates: list[dict[str, Any] | None], scheme: Look) -> Profile:
    """Return estimates of one corruption as figures take them."""
    missing = {"mean": None, "ci95": [None, None]}
    numbers = np.array([[x["mean"], *x["ci95"]] for x in (one or missing for one in estimates)], dtype=float)
    mark = ablation_mark(run.request.ablation, None, scheme)
    name = CORRUPTION_NAMES[run.request.ablation]
    return Profile(name, mark.colour, mark.symbol, *numbers.reshape(-1, 3).T)


def _profiles(shown: Shown, token_class: str, measure: str, scheme: Look) -> None:
    profiles = []
    for run in shown.runs.values():
        of_class = run.result["classes"][token_class]
        found = of_class["share"] if measure == "share" else of_class["effects"][shown.metric]
        profiles.append(profile_of(run, found, scheme))
    title = "share of the lost probability" if measure == "share" else f"{METRIC_NAMES[shown.metric].lower()}"
    st.markdown(f"**{MEASURES[measure]} at the {token_class} token, by layer**")
    plotly_view(
        profiles_figure(profiles, title, scheme),
        "trace-profiles",
        f"{MEASURES[measure]} at the {token_class} token over layers. The table below lists it.",
        height=300,
    )
    how = "the delta method" if measure == "share" else "bootstrap over prompts"
    st.caption(f"Bands are 95 % intervals by {how}.")
    rows = [
        {"corruption": one.name, "layer": layer, "mean": mean, "low": low, "high": high}
        for one in profiles
        for layer, (mean, low, high) in enumerate(zip(one.mean, one.low, one.high, strict=True))
    ]
    as_table(
        pd.DataFrame(rows),
        "trace-profiles-table",
        f"{MEASURES[measure]} at the {token_class} token",
        number_columns("mean", "low", "high"),
    )


def _peaks(shown: Shown, token_class: str, scheme: Look) -> None:
    """Draw where the prompts have their largest effect: an average can hide that they differ."""
    counts, rows = [], []
    for run in shown.runs.values():
        effects, lost = _per_prompt(run, token_class)
        there = ~np.isnan(effects[:, 0])
        found = peaks(effects[there], np.maximum(PEAK_FROM * lost[there], LEAST))
        n_layers = effects.shape[1]
        share = np.array([(found == layer).mean() for layer in [*range(n_layers), -1]])
        profile = profile_of(run, [None], scheme)
        counts.append((profile, share))
        for i, peak in zip(np.flatnonzero(there), found, strict=True):
            traced = run.result["traced"][i]
            rows.append(
                {
                    "prompt": traced["text"],
                    "subject": "".join(traced["tokens"][slice(*traced["subject"])]).strip(),
                    "answer": traced["answer"].strip(),
                    "corruption": profile.name,
                    "peak": None if peak < 0 else f"L{peak}",
                    "effect": float(effects[i].max()),
                    "lost": float(lost[i]),
                }
            )
    st.markdown(f"**Where prompts peak, at the {token_class} token**")
    plotly_view(
        peaks_figure(counts, scheme),
        "trace-peaks",
        f"Share of the prompts whose effect at the {token_class} token is largest in each layer. "
        "The table below lists every prompt.",
        height=300,
    )
    st.caption(
        f"A prompt peaks if one state alone has an effect of {100 * PEAK_FROM:.0f} % of the probability it "
        f"lost, and of {LEAST} at least."
    )
    as_table(
        pd.DataFrame(rows),
        "trace-peaks-table",
        "The largest effect of every prompt",
        number_columns("effect", "lost"),
    )


def _per_prompt(run: Run, token_class: str) -> tuple[np.ndarray, np.ndarray]:
    """Return effects on the probability [n_prompts, n_layers], and the probability lost [n_prompts]."""
    place, metric = CLASSES.index(token_class), METRICS.index("probability")
    lost = run.tensors["clean"][:, metric] - run.tensors["corrupted"][:, metric]
    return run.tensors["effects"][:, place, :, metric], lost


def _concentration(shown: Shown, classes: list[str], scheme: Look) -> None:
    """Draw the effective number of layers of every class."""
    profiles = [
        profile_of(run, [run.result["classes"][name]["concentration"] for name in classes], scheme)
        for run in shown.runs.values()
    ]
    n_layers = len(next(iter(shown.runs.values())).result["classes"][classes[0]]["share"])
    st.markdown("**How concentrated each profile is**")
    plotly_view(
        intervals_figure(classes, profiles, "effective number of layers", scheme, n_layers),
        "trace-concentration",
        "Effective number of layers of every class of token, with 95 % intervals. The table below lists it.",
        height=90 + round(38 * scheme.text * len(classes)),
    )
    st.caption(
        "exp of the entropy of the shares recovered over layers: 1 if one layer has it all, "
        f"{n_layers} if all have the same. Where shares are near 0 it says nothing: see the profile first."
    )
    rows = [
        {"token": name, "corruption": one.name, "layers": one.mean[i], "low": one.low[i], "high": one.high[i]}
        for one in profiles
        for i, name in enumerate(classes)
    ]
    as_table(
        pd.DataFrame(rows),
        "trace-concentration-table",
        "Effective number of layers",
        number_columns("layers", "low", "high"),
    )
