"""The panel of one node: its direct effect on the answer, and the loss when it alone is ablated."""

from typing import Any

import pandas as pd
import streamlit as st

from app.components.plotly_view import plotly_view
from app.explore.figures.effects import importance_figure
from app.figures.curve import interval_text, number_text
from app.figures.style import Look
from app.parts.asked import ask_button
from app.requests import finished, importance_request
from app.runs import Opened, measured_under_several
from app.text import plain
from engine.ablations.base import ablations
from engine.instruments.words import title_of
from engine.runs.folder import AnyRun
from engine.runs.record import Estimate

DIRECT = (
    "Direct logit attribution: the part of the {what} logit that this node alone writes into the stream "
    "that the logits read, with the final norm's scale held. Mean over prompts."
)


def effects_panel(opened: Opened, node: str, scheme: Look) -> None:
    """Draw the panel of a node other than `logits`, which writes nothing."""
    if node == "logits":
        st.caption("The logits write nothing: they are what the other nodes write towards.")
        return
    requests = {name: importance_request(opened.run, name) for name in ablations.names()}
    at_hand = {name: finished(request) for name, request in requests.items()}
    # An imported run may lack a node.
    runs = {name: run for name, run in at_hand.items() if run is not None and node in run.result.nodes}
    missing = [request for name, request in requests.items() if name not in runs]
    if runs:
        run = next(iter(runs.values()))
        values = run.result.nodes[node]
        answer, wrong = st.columns(2)
        _direct(answer, "Writes to the answer", "answer's", values["answer"])
        _direct(wrong, "To the wrong answer", "wrong answer's", values["wrong_answer"])
        losses = {_title(name, run): run.result.nodes[node]["kl"] for name, run in runs.items()}
        figure = importance_figure(losses, scheme)
        plotly_view(
            figure,
            "importance",
            f"KL when {node} alone is ablated, under each ablation. The table below lists it.",
            height=70 + round(30 * scheme.text * len(losses)),
            bar=False,
        )
        rows = [
            {"ablation": title, "KL (nats)": number_text(kl), "": interval_text(kl)}
            for title, kl in losses.items()
        ]
        with st.expander("As a table"):
            st.table(pd.DataFrame(rows), hide_index=True, border="horizontal", alt=f"Importance of {node}")
        st.caption(plain(measured_under_several(list(runs.values()), values["kl"].n)))
    ask_button(
        missing,
        "Compute for every ablation" if not runs else f"Compute for {len(missing)} more ablations",
        "compute-effects",
        "One job an ablation: every node is ablated alone. It serves every circuit of this task.",
    )


def _title(ablation: str, run: AnyRun) -> str:
    """Return an ablation's title with its conditioning: numbers of different conditionings do not compare."""
    conditioning = run.result.conditioning
    return title_of("ablation", ablation) + ("" if conditioning == "none" else f", {conditioning}")


def _direct(place: Any, label: str, subject: str, estimate: Estimate) -> None:
    place.metric(
        label,
        number_text(estimate, "+.3g"),
        interval_text(estimate),
        delta_color="off",
        delta_arrow="off",
        help=DIRECT.format(what=subject),
    )
