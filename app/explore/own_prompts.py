"""The panel of a pair of prompts typed by the user: its tokens, and predictions of model and circuit."""

import pandas as pd
import streamlit as st
from pydantic import ValidationError

from app.components.plotly_view import plotly_view
from app.errors import show_error
from app.explore.figures.predictions import predictions_figure
from app.figures.style import Look
from app.parts.asked import ask_button
from app.parts.tokens import continuation, token_chip, tokens_of, without_space
from app.requests import finished, measure_request
from app.runs import Opened, conditioned
from app.text import plain
from engine.circuits.circuit import Circuit
from engine.errors import CircuitExplorerError, RequestError
from engine.instruments.measure.request import Measure
from engine.instruments.measure.result import MeasureResult
from engine.instruments.words import model_name
from engine.models.tokens import Tokens
from engine.runs.combine import Chosen, Part
from engine.runs.folder import Run
from engine.runs.kinds import first_problem
from engine.tasks.dataset import tokenise
from engine.tasks.own_pair import OwnPair

FIELDS = ("clean", "corrupt", "answers", "wrong")  # widgets' keys, and the names in the URL
CIRCUIT = "circuit"


def own_prompts(opened: Opened, circuit: Circuit, size: int, under: str, scheme: Look) -> None:
    """Draw the form, the token view, and the predictions of model and circuit for the pair.

    Args:
        opened: the run shown.
        circuit: its circuit of the size shown.
        size: edges requested of that circuit.
        under: the ablation of the edges outside the circuit.
    """
    _fields(opened)
    try:
        tokens = tokens_of(opened.request.model)
        pair = _pair(tokens)
    except CircuitExplorerError as error:
        show_error(str(error))
        return
    _token_view(tokens, pair, opened.request.bos, scheme)
    try:
        tokenise(tokens, "your pair", pair, opened.request.bos)
        part = Part(run=opened.run.run_id, edges=size)
        request = measure_request(opened.run, under, [Chosen(name=CIRCUIT, parts=[part])], [pair])
    except CircuitExplorerError as error:
        show_error(str(error))
        return
    if (run := finished(request)) is not None:
        _predictions(run, circuit, scheme)
    else:
        ask_button([request], "Run the model and the circuit on this pair", "run-own")


def _fields(opened: Opened) -> None:
    """Draw the fields, filled with an example of the task at first."""
    example = opened.run.result.prompts[0]
    first = {
        "clean": example.clean,
        "corrupt": example.corrupt,
        "answers": ", ".join(answer.strip() for answer in example.answers[:3]),
        "wrong": ", ".join(answer.strip() for answer in example.wrong_answers[:3]),
    }
    # An example that nobody changed gives way to that of the next run.
    before = st.session_state.get("own-example", {})
    untouched = all(st.session_state.get(name) in (None, before.get(name)) for name in FIELDS)
    for name in FIELDS:
        if untouched or name not in st.session_state:
            st.session_state[name] = first[name]
    st.session_state["own-example"] = first
    for name, label, why in (
        ("clean", "Clean prompt", "The prompt; the answer is the token that follows it."),
        (
            "corrupt",
            "Corrupt prompt",
            "The same with the fact changed that the answer hangs on; equally many tokens.",
        ),
    ):
        st.text_area(label, key=name, help=why, height=72, max_chars=4000, persist_state="session")
    left, right = st.columns(2)
    several = "One token each; several are parted by commas."
    left.text_input("Answer", key="answers", help=several, max_chars=400, persist_state="session")
    right.text_input("Wrong answer", key="wrong", help=several, max_chars=400, persist_state="session")


def _pair(tokens: Tokens) -> OwnPair:
    """Return the typed pair; an answer gets a leading space if only then it is a single token.

    Raises:
        RequestError: a field is empty.
    """
    typed = {name: str(st.session_state[name]) for name in FIELDS}
    clean, corrupt = (without_space(typed[name]) for name in ("clean", "corrupt"))
    try:
        return OwnPair(
            clean=clean,
            corrupt=corrupt,
            answers=_answers(tokens, clean, typed["answers"]),
            wrong_answers=_answers(tokens, clean, typed["wrong"]),
        )
    except ValidationError as error:
        raise RequestError(
            f"Fill in both prompts, an answer and a wrong answer ({first_problem(error)})"
        ) from error


def _answers(tokens: Tokens, prompt: str, typed: str) -> list[str]:
    words = [word.strip() for word in typed.split(",") if word.strip()]
    return [continuation(tokens, prompt, word) for word in words]


def _token_view(tokens: Tokens, pair: OwnPair, bos: bool | None, scheme: Look) -> None:
    """Draw both prompts token by token; outline the tokens in which they differ."""
    both = {"clean": pair.clean, "corrupt": pair.corrupt}
    rows = {name: tokens.token_strings(tokens.prompt_ids(text, bos)) for name, text in both.items()}
    alike = [a == b for a, b in zip(*rows.values(), strict=False)]
    lines = ""
    for name, row in rows.items():
        chips = "".join(
            token_chip(token, i >= len(alike) or not alike[i], scheme) for i, token in enumerate(row)
        )
        count = (
            f"<span style='display:inline-block;width:6.2rem;color:{scheme.muted}'>{name}, {len(row)}</span>"
        )
        lines += f"<div style='margin:.15rem 0'>{count}{chips}</div>"
    st.html(f"<div role='group' aria-label='Tokens of both prompts' style='font-size:.86rem'>{lines}</div>")
    with st.expander("Tokens as a table"):
        table = pd.DataFrame({name: pd.Series(row) for name, row in rows.items()}).fillna("")
        st.dataframe(table, alt="The tokens of both prompts, position by position")


def _predictions(run: Run[Measure, MeasureResult], circuit: Circuit, scheme: Look) -> None:
    result = run.result
    model_top, circuit_top = result.prompts[0].model_top, result.circuit_top[CIRCUIT][0]
    metric, point = result.metric, result.summary
    plotly_view(
        predictions_figure(model_top, circuit_top, scheme),
        "own",
        "What the model and the circuit predict for your pair. The table below lists it.",
        height=80 + round(34 * scheme.text * len({token for token, _ in [*model_top, *circuit_top]})),
        bar=False,
    )
    words = metric.replace("_", " ")
    model_end, ablated_end = (end.metric(metric).mean for end in (result.model, result.ablated))
    st.caption(
        f"KL to the model {point.kl.mean:.3g} nats; {words}: model {model_end:.3g}, circuit of "
        f"{circuit.n_edges:,} edges {point.metric(metric).mean:.3g}, everything ablated {ablated_end:.3g}."
    )
    st.caption(
        plain(
            f"{model_name(run.request.model)} · this one pair, evaluated under {conditioned(run)} · "
            f"seed {run.request.seed} · run {run.run_id}"
        )
    )
    with st.expander("As a table"):
        ranks = max(len(model_top), len(circuit_top))
        rows = [
            {
                "rank": i + 1,
                "model": model_top[i][0] if i < len(model_top) else "",
                "model %": 100 * model_top[i][1] if i < len(model_top) else None,
                "circuit": circuit_top[i][0] if i < len(circuit_top) else "",
                "circuit %": 100 * circuit_top[i][1] if i < len(circuit_top) else None,
            }
            for i in range(ranks)
        ]
        number = st.column_config.NumberColumn(format="%.1f")
        st.dataframe(
            pd.DataFrame(rows),
            hide_index=True,
            alt="Top predictions of the model and of the circuit",
            column_config={"model %": number, "circuit %": number},
        )
