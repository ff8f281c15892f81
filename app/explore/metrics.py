"""The row of metrics over the graph: size of the circuit, and how close it is to the model."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.figures.curve import interval_text
from app.text import percent
from engine.circuits.circuit import Circuit
from engine.runs.record import CurveResult, Estimate, Point, Share

HELP = {
    "kl": "KL divergence from the full model's prediction to the circuit's, at the answer position, in nats. "
    "0 means the circuit predicts exactly what the model predicts.",
    "faithfulness": "How much of the model's {metric} the circuit keeps: 1 is all of it, 0 is no more than "
    "with everything ablated.",
    "logit_difference": "Logit of the answer minus logit of the wrong answer.",
    "probability_difference": "Probability of the answers minus probability of the wrong answers.",
    "agreement": "How often the circuit's top token is the full model's top token.",
}


def metrics_row(circuit: Circuit, point: Point, result: CurveResult) -> None:
    """Draw the metrics of one size of circuit, each with its 95 % interval.

    Args:
        circuit: the circuit shown.
        point: its evaluation.
        result: the result that has this evaluation.
    """
    metric = result.metric
    total = circuit.graph.n_edges
    words = metric.replace("_", " ")
    # Sized by what they say, so that nothing is cut off at 1280 px.
    edges, kl, faithfulness, difference, agreement = st.columns([1.2, 1, 1, 1, 1], gap="small")
    edges.metric(
        "Edges",
        f"{circuit.n_edges:,} of {total:,}",
        f"{percent(circuit.n_edges, total)} of the graph",
        delta_color="off",
        delta_arrow="off",
        help="Edges left after pruning dangling ones, which are on no path from the input to the logits.",
    )
    _metric(kl, "KL to the model", point.kl, HELP["kl"], unit=" nats")
    _metric(faithfulness, "Faithfulness", point.faithfulness, HELP["faithfulness"].format(metric=words))
    _metric(
        difference,
        words.capitalize(),
        point.metric(metric),
        f"{HELP[metric]} The full model has "
        f"{result.model.metric(metric).mean:.3g}, with everything ablated "
        f"{result.ablated.metric(metric).mean:.3g}.",
    )
    _metric(agreement, "Same top token", point.agreement, HELP["agreement"])


def _metric(place: DeltaGenerator, label: str, value: Estimate | Share, why: str, unit: str = "") -> None:
    place.metric(
        label,
        "undefined" if value.mean is None else f"{value.mean:.3g}{unit}",
        interval_text(value),
        delta_color="off",
        delta_arrow="off",
        help=why,
    )
