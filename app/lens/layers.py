"""Panels of lenses over layers: probabilities of words after a token, distance from the model."""

import numpy as np
import pandas as pd
import streamlit as st

from app.components.plotly_view import plotly_view
from app.figures.estimates import numbers_of
from app.figures.style import Look
from app.importance.tables import number_columns
from app.lens.choice import about_lens, choose_lens
from app.lens.data import ReadRun, TrainedRun, lens_place, lens_title, row_name, word_of
from app.lens.figures.lines import Line, lines_figure
from app.parts.options import choose_option
from app.parts.table import as_table
from app.text import plain

MOST_WORDS = 6  # of those on top, where none were asked for


def race(run: ReadRun, scheme: Look) -> None:
    """Draw the probabilities of the followed words after one token, over layers."""
    text = run.result.tokens
    with st.container(horizontal=True):
        lens = choose_lens(run, "Lens", "lens-lens", "oca")
        after = choose_option(
            "After",
            "lens-after",
            range(len(text)),
            lambda i: f"{i}: {_shown(text[i])}",
            first=len(text) - 1,
            width=220,
            help="The token whose next word is foretold.",
        )
    st.caption(f"**{plain(lens_title(lens))}**: {about_lens(lens)}")
    words, values = _followed(run, lens, after)
    quoted = _numbered([repr(word) for word in words])
    names = _names(words, quoted)
    rows = [row_name(place) for place in run.result.places]
    st.markdown(f"**Probability of each word after “{plain(_shown(text[after]))}”, by layer**")
    plotly_view(
        lines_figure(
            [Line(name, i, values[:, i]) for i, name in enumerate(names)],
            rows,
            "probability",
            scheme,
            share=True,
        ),
        "lens-race",
        f"Probability of {', '.join(names)} by layer. The table below lists it.",
        height=380,
    )
    if not run.result.raced:
        st.caption(
            "These are the words on top at any layer; without a point one is not among the ten most probable "
            "there. Words typed into the form are followed everywhere instead."
        )
    table = pd.DataFrame(values, columns=pd.Index(quoted))
    table.insert(0, "layer", rows)
    as_table(table, "lens-race-table", "Probability of each word", number_columns(*table.columns[1:]))


def _followed(run: ReadRun, lens: str, after: int) -> tuple[list[str], np.ndarray]:
    """Return the followed words, else the top words of the layers, and their probabilities [rows, words]."""
    if run.result.raced:
        return run.result.raced, run.tensors[f"raced.{lens}"][:, after]
    ids, shares = run.tensors[f"top_ids.{lens}"][:, after], run.tensors[f"top_p.{lens}"][:, after]
    best = list(dict.fromkeys(ids[::-1, 0].tolist()))[:MOST_WORDS]
    values = np.full((len(ids), len(best)), np.nan)
    for column, token in enumerate(best):
        row, rank = np.nonzero(ids == token)
        values[row, column] = shares[row, rank]
    return [word_of(run, token) for token in best], values


def _shown(word: str) -> str:
    return word.strip() or "␣"


def _numbered(names: list[str]) -> list[str]:
    """Return names, numbered where several tokens have the same text."""
    return [
        name if names.count(name) == 1 else f"{name} ({names[: i + 1].count(name)})"
        for i, name in enumerate(names)
    ]


def _names(words: list[str], quoted: list[str]) -> list[str]:
    """Return the words without surrounding spaces, unless two would then be alike.

    Args:
        quoted: other names of the words, all different, used where two are alike.
    """
    names = [_shown(word) for word in words]
    return [name if names.count(name) == 1 else other for name, other in zip(names, quoted, strict=True)]


MEASURES = {
    "kl": "KL to the model",
    "cross_entropy": "Cross-entropy of the next token",
    "entropy": "Entropy",
}
AXES = {
    "kl": "KL(model ‖ lens), nats",
    "cross_entropy": "cross-entropy of the next token, nats",
    "entropy": "entropy, nats",
}
ABOUT = {
    "kl": "How far what a lens says is from what the model says at last; 0 is the same.",
    "cross_entropy": "How badly a lens foretells the text's own next token; a lens far from the model can be "
    "near to it here.",
    "entropy": "How unsure a lens is, right or wrong: near the model's own it is as sure as the model.",
}
LOG = ("kl", "cross_entropy")  # over many times as much at the first layer as at the last
MODEL = "The model itself"


def over_texts(run: TrainedRun, scheme: Look) -> None:
    """Draw the distance of each lens from the model at every layer, over many texts, and its parameters."""
    result = run.result
    measure = choose_option("Measure", "lens-measure", list(MEASURES), MEASURES.__getitem__)
    title, axis = MEASURES[measure], AXES[measure]
    held_out = result.positions["held_out"]
    rows = [row_name(place) for place in result.places]
    lines = [
        Line(lens_title(name), lens_place(name), *numbers_of(getattr(measured, measure)))
        for name, measured in result.lenses.items()
    ]
    own = result.model.get(measure)  # none of the KL, which is to it
    of_model = None if own is None else Line(MODEL, 0, *numbers_of([own] * len(rows)))
    st.markdown(f"**{title}, by layer**")
    plotly_view(
        lines_figure(lines, rows, axis, scheme, log=measure in LOG, level=of_model),
        f"lens-{measure}",
        f"{title} of each lens at every layer, over texts held out"
        f"{'' if of_model is None else ', with the value of the model itself'}. The table below lists it.",
        height=420,
    )
    st.caption(
        plain(
            f"{ABOUT[measure]} Mean over {result.n_texts} texts of up to {result.length} tokens "
            f"({result.texts}), {held_out:,} positions; bands are 95 % intervals "
            "over texts."
        )
    )
    table = [
        {"lens": line.name, "layer": row} | dict(zip((axis, "low", "high"), numbers, strict=True))
        for line in lines
        for row, numbers in zip(rows, _columns(line), strict=True)
    ]
    if of_model is not None:
        values = dict(zip((axis, "low", "high"), _columns(of_model)[0], strict=True))
        table.append({"lens": MODEL, "layer": row_name("output"), **values})
    as_table(
        pd.DataFrame(table), f"lens-{measure}-table", f"{title} by layer", number_columns(axis, "low", "high")
    )
    _parameters(run)


def _columns(line: Line) -> list[list[float]]:
    assert line.low is not None
    assert line.high is not None
    return np.stack([line.values, line.low, line.high], 1).tolist()


def _parameters(run: TrainedRun) -> None:
    """Draw the number of parameters of each lens."""
    with st.container(horizontal=True, gap="small"):
        st.markdown("**Parameters**", width="content")
        for name, measured in run.result.lenses.items():
            st.badge(
                plain(f"{lens_title(name)}: {measured.parameters:,}"), color="gray", help=about_lens(name)
            )
    st.caption(f"Of all {len(run.result.places)} places together.")
