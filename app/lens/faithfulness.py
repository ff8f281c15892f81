"""The panel of causal faithfulness: do lenses react as the model does to a change of the residual stream?"""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app.components.plotly_view import plotly_view
from app.figures.estimates import numbers_of
from app.figures.style import Look
from app.importance.tables import number_columns
from app.lens.data import TrainedRun, lens_place, lens_title, row_name
from app.lens.figures.lines import Line, lines_figure
from app.parts.options import choose_option
from app.parts.table import as_table
from engine.instruments.lens.result import Faithful
from engine.runs.record import Share

INTERVENTIONS = {"projection": "Projection", "steering": "Steering", "resample": "Resampling"}
DIRECTIONS = {"random": "Random", "aligned": "The lens' own"}
WHAT = {
    "projection": "The stream loses one direction: its part there becomes the mean over texts.",
    "steering": "The stream is moved along one direction, as far as noise that costs the model 0.2 nats.",
    "resample": "The stream's part in several of the lens' own directions becomes that of another text.",
}
OF = {
    "random": "Directions are drawn as streams are spread.",
    "aligned": "Directions are those in which streams move the lens most.",
}
MEASURES = {"direction": "Direction similarity", "magnitude": "Magnitude correlation"}


def faithfulness(run: TrainedRun, scheme: Look) -> None:
    """Draw both measures of every lens at every layer, under one intervention."""
    places = run.result.places  # a run that was imported may have rows of others
    rows = [row for row in run.result.faithfulness if row.place in places]
    if not rows:
        st.info("These lenses were trained without a test of faithfulness.", icon=":material/science:")
        return
    rows, caption = _chosen(rows)
    places = [place for place in places if any(row.place == place for row in rows)]
    names = [row_name(place) for place in places]
    st.caption(caption)
    for column, (measure, title) in zip(st.columns(2, gap="medium"), MEASURES.items(), strict=True):
        with column:
            st.markdown(f"**{title}**")
            plotly_view(
                lines_figure(_lines(rows, places, measure), names, title.lower(), scheme),
                f"lens-{measure}",
                f"{title} of each lens at every layer. The table below lists it.",
                height=320,
            )
    texts = max(row.n_texts for row in rows)
    over = "texts" if rows[0].intervention == "resample" else "directions"
    st.caption(
        f"On {texts} texts; bands are 95 % intervals over {over}. 1: the lens reacts just as the model does. "
        "Direction: whether log-probabilities change alike, weighted by the model's probabilities. "
        "Magnitude: whether changes that move the model more move the lens more (correlation of log KL)."
    )
    _table(rows)


def _chosen(rows: Sequence[Faithful]) -> tuple[list[Faithful], str]:
    """Draw the choosers; return the rows of the intervention and directions chosen, and their description."""
    with st.container(horizontal=True):
        there = [kind for kind in INTERVENTIONS if any(row.intervention == kind for row in rows)]
        kind = choose_option("Intervention", "lens-intervention", there, INTERVENTIONS.__getitem__)
        here = [row for row in rows if row.intervention == kind]
        if kind == "resample":
            counts = sorted({row.n_directions for row in here})
            n = choose_option("Directions at once", "lens-resampled", counts, str)
            return [row for row in here if row.n_directions == n], WHAT[kind]
        there = [of for of in DIRECTIONS if any(row.directions == of for row in here)]
        of = choose_option("Directions", "lens-directions", there, DIRECTIONS.__getitem__)
    here = [row for row in here if row.directions == of]
    return here, f"{WHAT[kind]} {OF[of]} {here[0].n_directions} of them."


def _measured(row: Faithful, measure: str) -> Share:
    return {"direction": row.direction, "magnitude": row.magnitude}[measure]


def _lines(rows: Sequence[Faithful], places: Sequence[str], measure: str) -> list[Line]:
    lines = []
    for name in dict.fromkeys(row.lens for row in rows):
        of_place = {row.place: _measured(row, measure) for row in rows if row.lens == name}
        numbers = numbers_of([of_place.get(place) for place in places])
        lines.append(Line(lens_title(name), lens_place(name), *numbers))
    return lines


def _table(rows: Sequence[Faithful]) -> None:
    """Draw the numbers of both figures with their intervals."""
    table = []
    for row in rows:
        cells: dict[str, object] = {"lens": lens_title(row.lens), "layer": row_name(row.place)}
        for measure in MEASURES:
            share = _measured(row, measure)
            low, high = share.ci95
            cells |= {measure: share.mean, f"{measure} low": low, f"{measure} high": high}
        table.append(cells | {"directions": row.n_directions, "texts": row.n_texts})
    numbers = [f"{measure}{end}" for measure in MEASURES for end in ("", " low", " high")]
    as_table(pd.DataFrame(table), "lens-faithfulness", "Causal faithfulness", number_columns(*numbers))
