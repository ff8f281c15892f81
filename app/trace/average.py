"""The panel of effects over all prompts of a task: profiles over layers, concentration, and peaks."""

import numpy as np
import pandas as pd
import streamlit as st

from app.components.plotly_view import plotly_view
from app.figures.style import Look
from app.importance.tables import number_columns
from app.parts.options import choose_option
from app.parts.table import as_table
from app.text import plain
from app.trace.choice import Shown, choose_class
from app.trace.data import EFFECT, TraceRun, corruption_title
from app.trace.difference import difference_panel
from app.trace.figures.lines import intervals_figure, peaks_figure, profiles_figure
from app.trace.profiles import profile_of, table_rows
from engine.tracing.cells import METRICS
from engine.tracing.effects import peaks
from engine.tracing.names import CLASSES, TokenClass

MEASURES = {"effect": "Average effect", "share": "Share recovered"}
MEASURED = (
    f"{EFFECT} The share recovered is of the probability lost with nothing restored, each with the constant "
    "that is best for it."
)
PEAK_FROM = 0.1  # of a prompt's lost probability: the effect from which a prompt has a peak
LEAST = 0.01  # of an effect that counts, however little was lost


def average_panel(shown: Shown, scheme: Look) -> None:
    """Draw one class of tokens over layers, then all classes."""
    lossy = {name: lost for name, run in shown.runs.items() if (lost := _classes_lost(run))}
    classes: list[TokenClass] = [
        name for name in shown.classes if any(name in lost for lost in lossy.values())
    ]
    if not classes:
        st.info("No probability was lost, so there is nothing to recover: take more noise or prompts.")
        return
    if without := [corruption_title(name) for name in shown.runs if name not in lossy]:
        names = " and ".join(without)
        st.caption(plain(f"Under {names} no probability was lost, so there is no share recovered."))
    with st.container(horizontal=True):
        token_class = choose_class(shown)
        measure = choose_option(
            "Measure", "trace-measure", list(MEASURES), MEASURES.__getitem__, help=MEASURED
        )
    left, right = st.columns(2, gap="medium")
    with left:
        _profiles(shown, token_class, measure, scheme)
    with right:
        _peaks(shown, token_class, scheme)
    if shown.pair is None:
        _concentration(shown, classes, scheme)
        return
    left, right = st.columns(2, gap="medium")
    with left:
        difference_panel(shown, shown.pair, token_class, scheme)
    with right:
        _concentration(shown, classes, scheme)


def _classes_lost(run: TraceRun) -> list[TokenClass]:
    """Return the classes of tokens for which the share recovered is defined."""
    return [name for name, of_class in run.result.classes.items() if of_class.share[0] is not None]


def _profiles(shown: Shown, token_class: TokenClass, measure: str, scheme: Look) -> None:
    profiles = []
    for run in shown.runs.values():
        of_class = run.result.classes[token_class]
        estimates = of_class.share if measure == "share" else of_class.effects[shown.metric]
        profiles.append(profile_of(run, estimates, scheme))
    title = "share of the lost probability" if measure == "share" else shown.words
    st.markdown(f"**{MEASURES[measure]} at the {token_class} token, by layer**")
    plotly_view(
        profiles_figure(profiles, title, scheme),
        "trace-profiles",
        f"{MEASURES[measure]} at the {token_class} token over layers. The table below lists it.",
        height=300,
    )
    how = "the delta method" if measure == "share" else "bootstrap over prompts"
    st.caption(f"Bands are 95 % intervals by {how}.")
    as_table(
        pd.DataFrame(table_rows(profiles, "layer", range(len(profiles[0].mean)))),
        "trace-profiles-table",
        f"{MEASURES[measure]} at the {token_class} token",
        number_columns("mean", "low", "high"),
    )


def _peaks(shown: Shown, token_class: TokenClass, scheme: Look) -> None:
    """Draw the layer of every prompt's largest effect, which the average can hide."""
    counts, rows = [], []
    for run in shown.runs.values():
        effects, lost = _per_prompt(run, token_class)
        defined = ~np.isnan(effects[:, 0])
        layers = peaks(effects[defined], np.maximum(PEAK_FROM * lost[defined], LEAST))
        n_layers = effects.shape[1]
        # Without such a token in any prompt there are no bars.
        share = np.array([(layers == layer).sum() for layer in [*range(n_layers), -1]]) / max(1, len(layers))
        profile = profile_of(run, [None], scheme)
        counts.append((profile, share))
        for i, peak in zip(np.flatnonzero(defined), layers, strict=True):
            traced = run.result.traced[i]
            rows.append(
                {
                    "prompt": traced.text,
                    "subject": "".join(traced.tokens[slice(*traced.subject)]).strip(),
                    "answer": traced.answer.strip(),
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
        f"A prompt peaks in the layer of its largest effect on the probability, if that is "
        f"{100 * PEAK_FROM:.0f} % of what it lost (clean less corrupted) and {LEAST} at least."
    )
    as_table(
        pd.DataFrame(rows),
        "trace-peaks-table",
        "The largest effect of every prompt",
        number_columns("effect", "lost"),
    )


def _per_prompt(run: TraceRun, token_class: TokenClass) -> tuple[np.ndarray, np.ndarray]:
    """Return effects on the probability [n_prompts, n_layers], and the probability lost [n_prompts]."""
    place, metric = CLASSES.index(token_class), METRICS.index("probability")
    lost = run.tensors["clean"][:, metric] - run.tensors["corrupted"][:, metric]
    return run.tensors["effects"][:, place, :, metric], lost


def _concentration(shown: Shown, classes: list[TokenClass], scheme: Look) -> None:
    """Draw the effective number of layers of every class."""
    profiles = [
        profile_of(run, [run.result.classes[name].concentration for name in classes], scheme)
        for run in shown.runs.values()
    ]
    n_layers = len(shown.first.result.classes[classes[0]].share)
    st.markdown("**How concentrated each profile is**")
    plotly_view(
        intervals_figure(classes, profiles, "effective number of layers", scheme, (1, n_layers)),
        "trace-concentration",
        "Effective number of layers of every class of token, with 95 % intervals. The table below lists it.",
        height=90 + round(38 * scheme.text * len(classes)),
    )
    st.caption(
        "exp of the entropy of the shares recovered over layers: 1 if one layer has it all, "
        f"{n_layers} if all have the same. Where shares are near 0 it says nothing: see the profile first."
    )
    as_table(
        pd.DataFrame(table_rows(profiles, "token", classes)),
        "trace-concentration-table",
        "Effective number of layers",
        number_columns("mean", "low", "high"),
    )
