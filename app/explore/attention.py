"""The attention pattern of a head on one of the prompts."""

import pandas as pd
import streamlit as st

from app.components.plotly_view import plotly_view
from app.figures.attention import attention_figure
from app.figures.style import Look
from app.runs import Opened
from app.text import plain
from engine.instruments.words import model_name


def attention_panel(opened: Opened, name: str, scheme: Look) -> None:
    """Draw the pattern of head `name` on the prompt chosen, as a picture and as a table."""
    prompts = opened.run.result.prompts
    prompt = st.session_state.get("prompt", 0)
    if (key := f"attention.{prompt}") not in opened.run.tensors:
        st.caption("This run holds no attention patterns of this prompt.")
        return
    st.markdown("**Attention pattern**")
    st.selectbox(
        "Prompt",
        range(len(prompts)),
        format_func=lambda i: f"{i + 1}. {prompts[i].clean}",
        key="prompt",
        label_visibility="collapsed",
        persist_state="session",
    )
    layer, head = (int(part) for part in name[1:].split(".h"))
    pattern, tokens = opened.run.tensors[key][layer, head], prompts[prompt].tokens
    model = plain(model_name(opened.request.model))
    st.caption(f"Full model {model}, clean prompt {prompt + 1}: rows look at columns.")
    plotly_view(
        attention_figure(pattern, tokens, scheme),
        "attention",
        f"Attention pattern of {name} on prompt {prompt + 1}. The table below lists it.",
        height=min(max(15 * len(tokens) + 95, 220), 520),
    )
    with st.expander("As a table"):
        places = [f"{i} {token}" for i, token in enumerate(tokens)]
        table = pd.DataFrame(pattern.astype(float).round(3), index=places, columns=places)
        st.dataframe(table, alt=f"Attention of {name}: rows look at columns")
