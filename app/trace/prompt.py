"""The fields of a prompt to be traced, and its tokens."""

from typing import Any

import streamlit as st

from app.errors import show_error
from app.figures.style import Look
from app.parts.tokens import continuation, token_chip, token_line, tokens_of, without_space
from app.text import plain
from engine.errors import CircuitExplorerError
from engine.models.catalogue import find_model, on_this_machine
from engine.models.tokens import Tokens
from engine.tracing.prompts import occurrences, own_prompt

EXAMPLE = {"prompt": "The capital of France is", "subject": "France"}
ANSWERS = {
    "answer": (
        "Answer",
        "the model's",
        "What is followed, of one or several tokens; empty takes what the model says.",
    ),
    "wrong_answer": (
        "Wrong answer",
        "its next choice",
        "Its first token is what the answer's first is set against in the logit difference; empty takes the "
        "model's next choice.",
    ),
}


def prompt_fields(model: str, scheme: Look) -> tuple[dict[str, Any], bool]:
    """Draw the fields of a prompt and its tokens; return the values, and whether they can be used."""
    for name, example in EXAMPLE.items():
        st.session_state.setdefault(f"trace-new-{name}", example)
    typed_prompt = st.text_area(
        "Prompt", key="trace-new-prompt", height=72, max_chars=4000, help="The answer is what follows it."
    )
    prompt = without_space(typed_prompt)
    subject = st.text_input(
        "Subject", key="trace-new-subject", max_chars=400, help="What it is about; this is corrupted."
    ).strip()
    typed = {}
    for place, (name, (label, empty, why)) in zip(st.columns(2), ANSWERS.items(), strict=True):
        typed[name] = place.text_input(
            label, key=f"trace-new-{name}", max_chars=400, placeholder=empty, help=why
        )
    fields: dict[str, Any] = {"prompt": prompt, "subject": subject}
    if model and not on_this_machine(model):
        _download(model)
        return fields, False
    if not model or not prompt or not subject:
        st.caption("Type a prompt and the part of it that names its subject.")
        return fields, False
    try:
        tokens = tokens_of(model)
        fields |= _occurrence(tokens, prompt, subject)
        fields |= {name: continuation(tokens, prompt, text) for name, text in typed.items() if text.strip()}
        _tokens(tokens, fields, scheme)
    except CircuitExplorerError as error:
        show_error(str(error))
        return fields, False
    return fields, True


def _occurrence(tokens: Tokens, prompt: str, subject: str) -> dict[str, Any]:
    """Draw the chooser of the occurrence of a subject that stands in the prompt several times."""
    text = tokens.bare(prompt)
    places = occurrences(text, subject)
    if len(places) < 2:
        return {}
    labels = [f"{i}: …{text[max(begin - 12, 0) : end + 12]}…" for i, (begin, end) in enumerate(places, 1)]
    chosen = st.selectbox(
        f"Which “{subject}”",
        labels,
        key=f"trace-new-occurrence-{len(places)}",
        help="The subject stands in the prompt several times; one of them is corrupted.",
    )
    return {"subject_occurrence": labels.index(chosen) + 1}


def _tokens(tokens: Tokens, fields: dict[str, Any], scheme: Look) -> None:
    """Draw the prompt's tokens, and those of answers that were typed.

    Raises:
        CircuitExplorerError: the subject is not in the prompt, or an answer does not continue it.
    """
    prompt, answer, wrong = fields["prompt"], fields.get("answer"), fields.get("wrong_answer")
    occurrence = fields.get("subject_occurrence", 1)
    traced = own_prompt(tokens, prompt, fields["subject"], answer, wrong, None, occurrence)
    first, end = traced.subject
    chips = [
        token_chip(token, first <= i < end, scheme)
        for i, token in enumerate(tokens.token_strings(traced.tokens))
    ]
    lines = [token_line("Tokens of the prompt; the subject is outlined", "", chips, scheme)]
    # Of the wrong answer nothing counts but its first token.
    for label, text, n in (("answer", answer, None), ("wrong answer", wrong, 1)):
        if text:
            strings = tokens.token_strings(tokens.continuation_ids(prompt, text)[:n])
            chips = [token_chip(token, False, scheme) for token in strings]
            lines.append(token_line(f"Tokens of the {label} that count", label, chips, scheme))
    st.html("".join(lines))
    if wrong and traced.answer[:1] == [traced.wrong]:
        st.caption(
            ":material/warning: Both answers begin with the same token: their logit difference is always 0."
        )


def _download(model: str) -> None:
    """Offer to fetch a model from the hub."""
    name = plain(model)
    st.caption(f"{name} is downloaded first, so that the tokens of the subject can be shown.")
    if not st.button(f"Download {name}", key="trace-download", icon=":material/download:", width="stretch"):
        return
    try:
        with st.spinner(f"Downloading {name}"):
            find_model(model)
    except CircuitExplorerError as error:
        show_error(str(error))
        return
    st.rerun()
