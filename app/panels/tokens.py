"""Prompts token by token."""

from html import escape

import streamlit as st

from app.figures.style import Look
from engine.models.load import load_tokens
from engine.models.tokens import Tokens


@st.cache_resource(max_entries=4, show_spinner="Loading the tokenizer")
def tokens_of(model: str) -> Tokens:
    """Return the text side of a model.

    Raises:
        RequestError: there is no such model.
    """
    return load_tokens(model)


def token_chip(token: str, marked: bool, scheme: Look) -> str:
    """Return one token in a frame as HTML; a marked one stands out."""
    edge = scheme.ring if marked else scheme.faint
    weight = 600 if marked else 400
    shown = escape(token.replace("\n", "⏎")) or "&nbsp;"
    return (
        f"<span style='display:inline-block;white-space:pre;border:1px solid {edge};border-radius:.25rem;"
        f"padding:0 .28rem;margin:.08rem .1rem;font-weight:{weight}'>{shown}</span>"
    )
