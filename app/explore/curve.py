"""The slider over edges kept, and the curve of a metric over edges kept."""

from typing import Any

import pandas as pd
import streamlit as st

from app.components.plotly_view import plotly_view
from app.figures.curve import METRIC_NAMES, curve_figure
from app.figures.style import Look
from app.runs import Opened, evaluated
from app.text import plain
from engine.runs.folder import Run
from engine.runs.record import CurveResult
from engine.runs.request import OfACircuit


def slider_and_curve(opened: Opened, shown: Run[OfACircuit, CurveResult], size: int, scheme: Look) -> None:
    """Draw the slider over edges kept, and the curve of a metric with the slider's place marked.

    Args:
        opened: the run whose circuits the slider goes over.
        shown: the run whose evaluation is drawn as the curve.
        size: the slider's value, in edges requested.
        scheme: colours of the page.
    """
    st.select_slider(
        "Edges kept",
        list(opened.sizes),
        key="edges",
        format_func=lambda requested: f"{opened.sizes[requested]:,}",
        persist_state="session",
        help="The edges with the highest scores, less those on no path from the input to the logits.",
    )
    result = shown.result
    names = ("kl", "faithfulness", result.metric, "agreement", "accuracy")
    if st.session_state.get("metric") not in names:
        st.session_state["metric"] = "kl"
    metric = st.selectbox(
        "Curve, with 95 % interval",
        names,
        format_func=METRIC_NAMES.__getitem__,
        key="metric",
        persist_state="session",
    )
    full = result.model.metric(metric).mean if metric == result.metric else None
    figure = curve_figure(result.curve, metric, scheme, at=size, model=full)
    plotly_view(
        figure,
        "curve",
        f"{METRIC_NAMES[metric]} over edges kept. The table below lists it.",
        190,
        on_event=_on_curve,
        bar=False,
    )
    how = evaluated(shown)
    st.caption(plain(f"{how[0].upper()}{how[1:]}"))
    with st.expander("Curve as a table"):
        points = [
            {
                "edges": point.n_edges,
                METRIC_NAMES[metric]: point.metric(metric).mean,
                "95 % from": point.metric(metric).ci95[0],
                "to": point.metric(metric).ci95[1],
            }
            for point in result.curve
        ]
        number = st.column_config.NumberColumn(format="%.3g")
        st.dataframe(
            pd.DataFrame(points),
            hide_index=True,
            height=250,
            alt=f"{METRIC_NAMES[metric]} at every size of circuit",
            column_config=dict.fromkeys((METRIC_NAMES[metric], "95 % from", "to"), number),
        )


def _on_curve(event: dict[str, Any]) -> None:
    if event["kind"] == "click":
        st.session_state["edges"] = event["id"]
