"""The panel of the ratios Δ_optimal / Δ_x of all components, beside the paper's medians for GPT-2 small."""

import pandas as pd
import streamlit as st

from app.components.plotly_view import plotly_view
from app.figures.style import Look
from app.importance.choice import choose_series, on_component
from app.importance.components import mark_of
from app.importance.data import Measured, Series, Subject
from app.importance.figures.ratios import PAPER, RatioRow, ratio_figure
from app.importance.tables import conditioning_note, number_columns
from app.parts.asked import ask_button
from app.parts.table import as_table
from app.requests import importance_by_default
from app.text import plain
from engine.instruments.importance.comparison import LEAST, Ratios, ratios

OPTIMAL = "optimal"


def optimal_series(measured: Measured) -> list[Series]:
    """Return the series of optimal ablations, the default one first."""
    return [series for series in measured.series if series.ablation == OPTIMAL]


def ratios_panel(subject: Subject, measured: Measured, selected: tuple[str, ...], scheme: Look) -> None:
    """Draw the ratios of one optimal ablation to every other ablation."""
    optimal_runs = optimal_series(measured)
    if not optimal_runs:
        st.info(
            "Optimal ablation is not measured here yet. It trains a constant for every component, which "
            "takes longer than the other ablations.",
            icon=":material/model_training:",
        )
        request = importance_by_default(subject.request, OPTIMAL)
        ask_button([request], "Train optimal constants", "ablations-train")
        return
    if len(optimal_runs) > 1:
        with st.columns(3)[0]:
            optimal = choose_series(
                measured, "Optimal constants", "ablations-optimal", optimal_runs, optimal_runs[0].key
            )
    else:
        optimal = optimal_runs[0]
    others = [series for series in measured.series if series.ablation != OPTIMAL]
    if not others:
        st.info("Measure another ablation to compare the optimal one with.", icon=":material/compare:")
        return
    ratios_of = against(optimal, others)
    rows = [
        RatioRow(series.name, mark_of(series, scheme), ratios_of[series.key], paper_median(optimal, series))
        for series in others
    ]
    conditioning_note([optimal, *others])
    plotly_view(
        ratio_figure(measured.components, rows, optimal.name, scheme, selected),
        "ablations-ratios",
        f"Cost under {optimal.name} over that under each other ablation. The table below lists it.",
        height=100 + round(58 * scheme.text * len(rows)),
        on_event=on_component,
    )
    for sentence in verdicts(optimal, others, ratios_of):
        st.markdown(plain(sentence))
    st.caption(
        "Every mark is a head or an MLP; boxes are quartiles. By definition no other constant of its "
        "conditioning costs less than the optimal one, so marks right of 1 in the row of a constant (zero, "
        "the means) are a shortfall: of the training, or from the prompts trained on to those measured on. "
        "Counterfactual prompts and noise are no constants: they leave information in and may cost less. "
        f"Components below {LEAST:g} nats under the other ablation have no ratio. "
        "Triangles: Li and Janson 2024, Table 1, GPT-2 small on IOI: another model, other prompts."
    )
    as_table(
        summary(optimal, others, ratios_of),
        "ablations-ratios-table",
        f"Ratios of the cost under {optimal.name} to that under each other ablation",
        number_columns("median", "low", "high", "25 %", "75 %", "share ≤", "share low", "share high"),
    )


def against(optimal: Series, others: list[Series]) -> dict[str, Ratios]:
    """Return the ratios of an optimal series to others, by key."""
    return _against(optimal.run.run_id, tuple(series.run.run_id for series in others), optimal, others)


@st.cache_resource(max_entries=12, show_spinner=False)
def _against(
    run_id: str, others_ids: tuple[str, ...], _optimal: Series, _others: list[Series]
) -> dict[str, Ratios]:
    return {series.key: ratios(_optimal.gaps, series.gaps) for series in _others}


def verdicts(optimal: Series, others: list[Series], ratios_of: dict[str, Ratios]) -> list[str]:
    """Return sentences on how many components have a smaller or larger Δ under optimal constants."""
    sentences = []
    for holds, words in (
        (True, "at least half of the components cost no more than"),
        (False, "more than half of the components cost more than"),
    ):
        parts = []
        for series in others:
            of = ratios_of[series.key]
            if of.share is not None and of.median is not None and (of.share >= 0.5) == holds:
                share = of.share if holds else 1 - of.share
                parts.append(f"{series.name} ({share:.0%} of {of.n}, median ratio {of.median:.2g})")
        if parts:
            sentences.append(f"Under {optimal.name} {words} under {', '.join(parts)}.")
    return sentences


def paper_median(optimal: Series, other: Series) -> float | None:
    """Return the paper's median ratio; its constants are per position, optimal ones and means."""
    if optimal.conditioning == "shared" or other.conditioning == "shared":
        return None
    return PAPER.get(other.ablation)


def summary(optimal: Series, others: list[Series], ratios_of: dict[str, Ratios]) -> pd.DataFrame:
    """Return one row per ablation: median, quartiles, share of ratios up to 1, the paper's median."""
    rows = []
    for series in others:
        of = ratios_of[series.key]
        low, high = of.median_ci or (None, None)
        first, third = of.quartiles or (None, None)
        least, most = of.share_ci or (None, None)
        paper = paper_median(optimal, series)
        rows.append(
            {
                "ablation": series.name,
                "median": of.median,
                "low": low,
                "high": high,
                "25 %": first,
                "75 %": third,
                "share ≤": of.share,
                "share low": least,
                "share high": most,
                "components": of.n,
                "paper (GPT-2 small)": "–" if paper is None else f"{paper:.3f}",
            }
        )
    return pd.DataFrame(rows)
