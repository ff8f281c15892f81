"""Prompts token by token."""

from collections.abc import Iterable
from html import escape
from pathlib import Path

import streamlit as st

from app.figures.style import Look
from engine.models import find_model
from engine.models.load import load_tokens
from engine.models.tokens import Tokens

TEXT_FILES = ("*.json", "*.txt", "*.model")  # of a model: its tokenizer and configuration


def tokens_of(model: str) -> Tokens:
    """Return the tokenizer and sizes of a model, read anew if its files have changed.

    Raises:
        RequestError: there is no such model on this machine.
    """
    folder = find_model(model, download=False)
    files = sorted(path for ending in TEXT_FILES for path in folder.glob(ending) if path.is_file())
    return _tokens_at(model, tuple((path, path.stat().st_mtime_ns) for path in files))


@st.cache_resource(max_entries=4, show_spinner="Loading the tokenizer")
def _tokens_at(model: str, stamps: tuple[tuple[Path, int], ...]) -> Tokens:
    """Return the tokenizer and sizes of a model; the files' times of change are part of the cache's key."""
    return load_tokens(model)


def continuation(tokens: Tokens, prompt: str, typed: str) -> str:
    """Return a typed text as a continuation of a prompt.

    A word gets a leading space, unless only the word without it adds whole tokens to the prompt, or digits
    go on after a digit.
    """
    bare = typed.rstrip()
    if not bare[:1].isalnum() or (prompt[-1:].isdigit() and bare[0].isdigit()):
        return bare
    spaced = f" {bare}"
    goes_on = tokens.continuation_ids
    return bare if goes_on(prompt, bare) and not goes_on(prompt, spaced) else spaced


def without_space(typed: str) -> str:
    """Return a typed text without the white space at its end, and say so if there was a space."""
    text = typed.rstrip()
    if typed.endswith(" "):
        st.caption(
            ":material/info: The space at the end is left out: the token that comes next has it in front."
        )
    return text


def token_chip(token: str, marked: bool, scheme: Look) -> str:
    """Return one token in a frame as HTML; a marked one stands out."""
    edge = scheme.ring if marked else scheme.faint
    weight = 600 if marked else 400
    shown = escape(token.replace("\n", "⏎")) or "&nbsp;"
    return (
        f"<span style='display:inline-block;white-space:pre;border:1px solid {edge};border-radius:.25rem;"
        f"padding:0 .28rem;margin:.08rem .1rem;font-weight:{weight}'>{shown}</span>"
    )


def token_line(alt: str, label: str, chips: Iterable[str], scheme: Look) -> str:
    """Return a line of chips as HTML.

    Args:
        alt: description of the line for a screen reader.
        label: text in front of the line.
    """
    front = f"<span style='color:{scheme.muted};margin-right:.3rem'>{escape(label)}</span>" if label else ""
    return (
        f"<div role='group' aria-label='{escape(alt, quote=True)}' style='font-size:.86rem;margin:.15rem 0'>"
        f"{front}{''.join(chips)}</div>"
    )
