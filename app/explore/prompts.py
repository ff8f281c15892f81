"""The table of example prompts with the predictions of model and circuit."""

import pandas as pd
import streamlit as st

from engine.runs.record import CurveResult


def prompts_table(result: CurveResult, size: int) -> None:
    """Draw the example prompts with the top predictions of model and circuit.

    Args:
        result: of a discovery or an evaluation.
        size: edges requested of the circuit shown.
    """
    top = result.circuit_top.get(str(size))
    rows = [
        {
            "prompt": prompt.clean,
            "answer": _few(prompt.answers),
            "model": _best(prompt.model_top),
            "circuit": _best(top[i]) if top else "",
            "right": "" if not top else "yes" if top[i][0][0] in prompt.answers else "no",
            "corrupt": prompt.corrupt,
        }
        for i, prompt in enumerate(result.prompts)
    ]
    text = st.column_config.TextColumn
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        row_height=32,
        alt="Example prompts with the model's and the circuit's top predictions",
        column_config={
            "prompt": text("clean prompt", width=225),
            "answer": text(width=65),
            "model": text("model's top tokens (%)", width=155),
            "circuit": text("circuit's top tokens (%)", width=155),
            "right": text("right", width=60, help="Whether the circuit's top token is an answer"),
            "corrupt": text("corrupt prompt", width=250),
        },
    )


def _best(top: list[tuple[str, float]]) -> str:
    """Return the first of the top tokens, and up to two more that have at least one per cent."""
    shown = [top[0], *(entry for entry in top[1:3] if entry[1] >= 0.01)]
    return " · ".join(f"{token.strip() or repr(token)} {100 * share:.0f}" for token, share in shown)


def _few(answers: list[str]) -> str:
    shown = ", ".join(answer.strip() for answer in answers[:4])
    return shown if len(answers) <= 4 else f"{shown}, … ({len(answers)})"
