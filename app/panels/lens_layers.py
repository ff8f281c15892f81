"""Lenses over layers: a race of words, the distance to the model over many texts, causal faithfulness."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app.components.plotly_view import plotly_view
from app.figures.lens_lines import Line, lines_figure
from app.figures.style import Look
from app.panels.ablations_tables import as_table, number_columns
from app.panels.lens_choice import choose_lens
from app.panels.lens_data import lens_place, lens_title, row_name
from app.text import plain
from engine.runs import Run


def race(run: Run, scheme: Look) -> None:
    """Draw the probability of the words followed, row by row, after one token."""
    raced, text = run.result["raced"], run.result["tokens"]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        lens = choose_lens(run, "Lens", "lens-lens", "oca")
        if st.session_state.get("lens-after") not in range(len(text)):
            st.session_state["lens-after"] = len(text) - 1
        after = st.selectbox(
            "After",
            range(len(text)),
            key="lens-after",
            format_func=lambda i: f"{i}: {text[i].strip() or '␣'}",
            width=220,
            persist_state="session",
        )
    words, values = _followed(run, lens, after)
    lines = [Line(word.strip() or "␣", i, values[:, i]) for i, word in enumerate(words)]
    rows = [row_name(place) for place in run.result["places"]]
    plotly_view(
        lines_figure(lines, rows, "probability", scheme, share=True),
        "lens-race",
        f"Probability of {', '.join(word.strip() for word in words)} by layer. The table below lists it.",
        height=380,
    )
    if not raced:
        st.caption(
            "These are the words on top at any layer; without a point one is not among the ten most probable "
            "there. Words typed into the form are followed everywhere instead."
        )
    table = pd.DataFrame(values, columns=pd.Index([repr(word) for word in words]))
    table.insert(0, "layer", rows)
    as_table(table, "lens-race-table", "Probability of each word", number_columns(*table.columns[1:]))


def _followed(run: Run, lens: str, after: int) -> tuple[list[str], np.ndarray]:
    """Return the words followed and their probabilities [rows, words]; without any, those on top."""
    if run.result["raced"]:
        return run.result["raced"], run.tensors[f"raced.{lens}"][:, after]
    ids, shares = run.tensors[f"top_ids.{lens}"][:, after], run.tensors[f"top_p.{lens}"][:, after]
    best = list(dict.fromkeys(ids[::-1, 0].tolist()))[:6]
    found = np.full((len(ids), len(best)), np.nan)
    for column, token in enumerate(best):
        row, rank = np.nonzero(ids == token)
        found[row, column] = shares[row, rank]
    words = run.result["words"]
    return [words.get(str(token), f"token {token}") for token in best], found


def over_texts(run: Run, scheme: Look) -> None:
    """Draw how far each lens is from the model at every layer over many texts, and its parameters."""
    result = run.result
    rows = [row_name(place) for place in result["places"]]
    lines, table = [], []
    for name, one in result["lenses"].items():
        numbers = np.array([[x["mean"], *x["ci95"]] for x in one["kl"]], dtype=float)
        lines.append(Line(lens_title(name), lens_place(name), *numbers.T))
        table += [
            {"lens": lens_title(name), "layer": row, "KL (nats)": mean, "low": low, "high": high}
            for row, (mean, low, high) in zip(rows, numbers.tolist(), strict=True)
        ]
    plotly_view(
        lines_figure(lines, rows, "KL(model ‖ lens), nats", scheme, log=True),
        "lens-kl",
        "KL from the model to each lens at every layer, over texts held out. The table below lists it.",
        height=420,
    )
    st.caption(
        plain(
            f"Mean over {result['n_texts']} texts of up to {result['length']} tokens ({result['texts']}); "
            "bands are 95 % intervals over texts."
        )
    )
    as_table(pd.DataFrame(table), "lens-kl-table", "KL by layer", number_columns("KL (nats)", "low", "high"))
    counts = {lens_title(name): f"{one['parameters']:,}" for name, one in result["lenses"].items()}
    st.markdown(
        "**Parameters**: " + plain(", ".join(f"{name} {count}" for name, count in counts.items())) + "."
    )


def faithfulness(run: Run, scheme: Look) -> None:
    """Draw whether lenses react as the model does when the stream is changed."""
    rows = run.result.get("faithfulness", [])
    if not rows:
        st.info("These lenses were trained without a test of faithfulness.", icon=":material/science:")
        return
    rows = [row | {"intervention": _kind(row)} for row in rows]
    with st.container(horizontal=True):
        intervention = _option("Intervention", "lens-intervention", sorted({x["intervention"] for x in rows}))
        here = [row for row in rows if row["intervention"] == intervention]
        directions = _option("Directions", "lens-directions", sorted({row["directions"] for row in here}))
    here = [row for row in here if row["directions"] == directions]
    places = [place for place in run.result["places"] if any(row["place"] == place for row in here)]
    left, right = st.columns(2, gap="medium")
    for column, measure, words in (
        (left, "direction", "Direction similarity"),
        (right, "magnitude", "Magnitude correlation"),
    ):
        with column:
            st.markdown(f"**{words}**")
            plotly_view(
                lines_figure(
                    _measured(here, places, measure), [row_name(p) for p in places], words.lower(), scheme
                ),
                f"lens-{measure}",
                f"{words} of each lens at every layer. The table below lists it.",
                height=320,
            )
    texts = max(row["n_texts"] for row in here)
    st.caption(
        f"On {texts} texts. 1: the lens reacts just as the model does. Direction: whether log-probabilities "
        "change alike, weighted by the model's probabilities; magnitude: whether directions that move the "
        "model more move the lens more."
    )
    table = [
        {
            "lens": lens_title(row["lens"]),
            "layer": row["place"],
            "direction": row["direction"]["mean"],
            "magnitude": row["magnitude"]["mean"],
            "directions": row["n_directions"],
            "texts": row["n_texts"],
        }
        for row in here
    ]
    as_table(
        pd.DataFrame(table),
        "lens-faithfulness",
        "Causal faithfulness",
        number_columns("direction", "magnitude"),
    )


def _kind(row: dict[str, Any]) -> str:
    """Return what was done, in words: directions are resampled several at once, as many as are counted."""
    resampled = row["intervention"] == "resample"
    return f"resample of {row['n_directions']}" if resampled else row["intervention"]


def _measured(rows: Sequence[dict[str, Any]], places: list[str], measure: str) -> list[Line]:
    lines = []
    for name in dict.fromkeys(row["lens"] for row in rows):
        of_place = {row["place"]: row[measure] for row in rows if row["lens"] == name}
        missing = {"mean": None, "ci95": [None, None]}
        found = [of_place.get(place, missing) for place in places]
        numbers = np.array([[x["mean"], *x["ci95"]] for x in found], dtype=float)
        lines.append(Line(lens_title(name), lens_place(name), *numbers.T))
    return lines


def _option(label: str, key: str, options: list[str]) -> str:
    if st.session_state.get(key) not in options:
        st.session_state[key] = options[0]
    found = st.segmented_control(label, options, key=key, required=True, persist_state="session")
    return found or options[0]
