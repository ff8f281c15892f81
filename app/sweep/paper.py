"""Published curves beside a comparison; assets/published/README.md describes them."""

import csv
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pandas as pd
import streamlit as st

from app.figures.style import Look
from app.sweep.figures.axes import Curve, Spot
from app.sweep.lines import Line, conditioned_title, marks_of
from app.text import percent
from engine.instruments.words import title_of
from engine.shipped import shipped

Row = dict[str, Any]  # of the file of published circuits

PUBLISHED = shipped("assets") / "published" / "ugs_pareto_gpt2_small.csv"
EDGES = 32_491  # of the graph of GPT-2 small, query, key and value apart
# As in the paper: its constants are one per position for the mean, and one for all when they are trained.
CONDITIONING = {"mean": "per position", "optimal": "shared"}
BY_HAND = "by hand"
SYMBOLS = ("circle", "circle-open", "x-thin-open", "triangle-up-open")  # by ablation
PAPER = "Paper: GPT-2 small (another model)"
ANOTHER_MODEL = (
    "Dotted: circuits of GPT-2 small, another model, whose graph has 32,491 edges; from the authors' result "
    "file (Li & Janson 2024, 2409.09951). Each is a dot, the line goes along the best so far. Its edges and "
    "its nats are not this model's: only the order of the methods can be compared."
)


def choose_paper(
    task: str, metric: str, shown: Sequence[Line], lines: Sequence[Line], scheme: Look
) -> list[Curve]:
    """Draw the switch of the published curves and return those to draw beside the lines shown."""
    there = any(row["task"] == task for row in published()) and metric == "kl"
    on = st.toggle(
        PAPER,
        key="compare-paper",
        disabled=not there,
        help="The curves that Li & Janson (2024) published."
        if there
        else "The paper has the KL of circuits for indirect objects and for Greater-Than, and nothing else.",
        persist_state="session",
    )
    if not (on and there):
        return []
    methods, ablations = {line.method for line in shown}, {line.ablation for line in shown}
    every = {line.method for line in lines} == methods
    return published_curves(
        task,
        lambda row: row["ablation"] in ablations and (every or row["method"] in methods),
        lines,
        scheme,
    )


def published_curves(
    task: str, shown: Callable[[Row], bool], lines: Sequence[Line], scheme: Look
) -> list[Curve]:
    """Return the paper's curves for a task in GPT-2 small; [] if it has none for this task.

    Args:
        shown: returns whether to show a row.
        lines: the compared lines, whose methods' colours are used.
    """
    circuits: dict[tuple[str, str], list[Spot]] = {}
    for row in published():
        if row["task"] == task and shown(row):
            circuits.setdefault((row["method"], row["ablation"]), []).append(_published_spot(row))
    marks = marks_of([*(line.method for line in lines), *(method for method, _ in circuits)], scheme)
    under = list(dict.fromkeys(ablation for _, ablation in circuits))
    return [
        Curve(
            BY_HAND if method == "manual" else title_of("method", method),
            conditioned_title(ablation, CONDITIONING.get(ablation, "")),
            scheme.ink if method == "manual" else marks[method][0],
            SYMBOLS[under.index(ablation) % len(SYMBOLS)],
            "dot",
            spots,
        )
        for (method, ablation), spots in circuits.items()
    ]


@cache
def published() -> list[Row]:
    """Return the published circuits; assets/published/README.md describes them."""
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row | {"edges": int(row["edges"]), "kl": float(row["kl"])} for row in rows]


def _published_spot(row: Row) -> Spot:
    edges = row["edges"]
    kind = "price" if row["method"] in ("ugs", "hcgs") else "threshold"
    parameter = (f"{kind} {row['parameter']}",) if row["parameter"] else ()
    text = f"{edges:,} edges left ({percent(edges, EDGES)})"
    numbers = (f"KL {row['kl']:.3g} nats", *parameter)
    return Spot(edges, edges / EDGES, row["kl"], None, None, text, numbers)


def paper_table(paper: Sequence[Curve]) -> None:
    """Draw the published circuits that are in the chart as a table."""
    with st.expander("The paper's circuits as a table"):
        table = [
            {
                "method": curve.method,
                "ablation": curve.ablation,
                "edges": int(spot.edges),
                "% of edges": 100 * spot.share,
                "KL (nats)": spot.value,
            }
            for curve in paper
            for spot in curve.spots
        ]
        number = st.column_config.NumberColumn(format="%.3g")
        st.dataframe(
            pd.DataFrame(table),
            hide_index=True,
            height=260,
            alt="Published circuits of GPT-2 small",
            column_config={
                "edges": st.column_config.NumberColumn(format="localized"),
                "% of edges": number,
                "KL (nats)": number,
            },
        )
