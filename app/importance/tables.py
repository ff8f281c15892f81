"""Tables, sources and warnings beside the figures of the page "Ablations"."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app.importance.data import Measured, Series, Subject
from app.parts.notes import show_notes
from app.runs import measured_under_several
from app.text import plain


def provenance(series: Sequence[Series]) -> None:
    """Draw the line that says where the numbers of these series come from."""
    runs = [shown.run for shown in series]
    n = next(iter(runs[0].result.nodes.values()))["kl"].n
    names = ", ".join(shown.name for shown in series)
    st.caption(plain(f"{measured_under_several(runs, n)} · under {names}"))
    show_notes(runs)


def conditioning_note(series: Sequence[Series], short: bool = False) -> None:
    """Warn where constants of two conditionings are in one chart.

    Args:
        short: only name the conditionings, since the whole warning is nearby.
    """
    names = {
        kind: [shown.name.split(" (")[0] for shown in series if shown.conditioning == kind]
        for kind in ("per position", "shared")
    }
    if not all(names.values()):
        return
    if short:
        st.caption(
            ":material/call_split: Two conditionings in one chart: the names say which constants are shared "
            "by all positions."
        )
        return
    st.warning(
        plain(
            "Two conditionings in one chart: constants shared by all positions (hatched or open; "
            f"{', '.join(names['shared'])}), and one for every position "
            f"({', '.join(names['per position'])}). A shared constant cannot follow the position; one per "
            "position misfits prompts whose words stand elsewhere. So even an optimal constant of the one "
            "kind may cost more than a mean of the other: that difference is not the ablation's."
        ),
        icon=":material/call_split:",
    )


def everything_button(subject: Subject, measured: Measured) -> None:
    """Draw the button that saves Δ of every component under every ablation."""
    st.download_button(
        "Every Δ as CSV",
        lambda: tidy(subject, measured).to_csv(index=False),
        f"ablations-{subject.key}.csv",
        "text/csv",
        key="ablations-everything",
        icon=":material/download:",
        help="One row for every component and ablation, with mean, interval, settings and run",
        on_click="ignore",
    )


def tidy(subject: Subject, measured: Measured) -> pd.DataFrame:
    """Return Δ of every component and of the input under every ablation, one row each."""
    request = subject.request
    about = {
        "model": request.model,
        "task": request.task,
        "split": request.split,
        "seed": request.seed,
    }
    rows = []
    for series in measured.series:
        settings = {f"setting_{name}": value for name, value in series.run.request.ablation_settings.items()}
        for node in measured.nodes():
            if (kl := series.estimate(node)) is not None:
                low, high = kl.ci95
                of_it = {"component": node, "ablation": series.ablation, "conditioning": series.conditioning}
                numbers = {"delta_nats": kl.mean, "low": low, "high": high, "prompts": kl.n}
                rows.append(about | of_it | numbers | {"run": series.run.run_id} | settings)
    return pd.DataFrame(rows)


def costs_table(measured: Measured, series: Sequence[Series], nodes: Sequence[str]) -> pd.DataFrame:
    """Return Δ of nodes in each series with the ends of its interval, one row per node and series."""
    rows = []
    for node in nodes:
        for shown in series:
            if (kl := shown.estimate(node)) is not None:
                low, high = kl.ci95
                rows.append(
                    {
                        "component": node,
                        "ablation": shown.name,
                        "Δ (nats)": kl.mean,
                        "low": low,
                        "high": high,
                    }
                )
    return pd.DataFrame(rows, columns=["component", "ablation", "Δ (nats)", "low", "high"])


def number_columns(*names: str) -> dict[str, Any]:
    """Return how columns of numbers look: three digits."""
    return {name: st.column_config.NumberColumn(format="%.3g") for name in names}
