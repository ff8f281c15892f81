"""The form for reading a text by lenses, on the model, with nodes ablated, or through a circuit."""

from typing import Any

import streamlit as st

from app.errors import show_error
from app.figures.style import Look
from app.lens.data import all_lenses, default_training, lens_title, lenses_to_read, reading_key
from app.parts.request_form import choose_model, require_model, start_button
from app.parts.tokens import token_chip, token_line, tokens_of, without_space
from app.requests import queue
from app.runs import open_run, shelf
from app.text import plain
from engine.errors import CircuitExplorerError, RequestError
from engine.instruments.lens.request import ReadText
from engine.instruments.words import title_of
from engine.models.catalogue import on_this_machine
from engine.models.tokens import Tokens
from engine.runs.kinds import make_request

EXAMPLE = "The capital of South Korea is"
NOTHING = "nothing changed"
MOST_WORDS = 8
MOST_PARTS = 6  # tokens of a word that are listed
STANDS = {"mean": "Mean", "zero": "Zero"}


def lens_form(scheme: Look) -> None:
    """Draw the form; when it is sent, queue a job and show its text."""
    st.subheader("New text", anchor=False)
    model = choose_model("lens-new-model")
    tokens = _tokens_here(model)
    st.session_state.setdefault("lens-new-text", EXAMPLE)
    typed_text = st.text_area(
        "Text", key="lens-new-text", height=100, max_chars=4000, help="Each token is read at every layer."
    )
    text = without_space(typed_text)
    ready = _check_length(tokens, text)
    typed = st.text_input(
        "Words to follow",
        key="lens-new-words",
        max_chars=400,
        placeholder="Seoul, Tokyo",
        help=f"Up to {MOST_WORDS}, one token each, parted by commas: their probability through the layers.",
    )
    words = _words(tokens, typed, scheme)
    circuit = _circuit(model)
    ablated, narrow = "", [4, 3]
    if circuit is None:
        left, right = st.columns(narrow)
        ablated = left.text_input(
            "Ablate",
            key="lens-new-ablated",
            max_chars=2000,
            placeholder="a2.h3, m1",
            help="Heads and MLPs that write a constant while the text runs.",
        )
    else:
        right = st.container()
    ablation = right.selectbox(
        "By" if circuit is None else "What it leaves out writes",
        list(STANDS),
        key="lens-new-ablation",
        format_func=STANDS.__getitem__,
        help="The constant: the mean over texts that the model samples, or zero.",
    )
    middle = st.toggle(
        "Middle of layers",
        key="lens-new-middle",
        help="Also between a layer's attention and its MLP, where a block has these one after the other.",
    )
    names = _lenses(model, tokens)
    if not start_button("Read", "lens-start", disabled=words is None or not ready):
        return
    nodes = [node.strip() for node in ablated.split(",") if node.strip()]
    reading: dict[str, Any] = {
        "text": text,
        "lenses": names,
        "words": words,
        "ablated": nodes,
        "circuit": circuit,
        "middle": middle,
    }
    if nodes or circuit is not None:  # else it changes nothing, and would make the same reading another run
        reading["ablation"] = ablation
    try:
        _submit(model, reading)
    except CircuitExplorerError as error:
        show_error(str(error))


def _tokens_here(model: str) -> Tokens | None:
    """Return the tokenizer and sizes of a model; None if it is not on this machine. Download nothing."""
    try:
        return tokens_of(model) if model else None
    except RequestError as error:
        if on_this_machine(model):
            show_error(str(error))
        return None


def _check_length(tokens: Tokens | None, text: str) -> bool:
    """Draw the length of the text; return False if it is longer than the model's context."""
    if tokens is None or not text:
        return True
    n, most = len(tokens.prompt_ids(text)), tokens.shape.n_ctx
    if n > most:
        show_error(f"The text has {n} tokens and the model reads {most} at most: take a shorter one.")
        return False
    st.caption(f"{n} of at most {most} tokens")
    return True


def _words(tokens: Tokens | None, typed: str, scheme: Look) -> list[str] | None:
    """Draw the tokens that are followed and return them; None if a word cannot be followed."""
    words = list(dict.fromkeys(word.strip() for word in typed.split(",") if word.strip()))
    if tokens is None:
        return [_within(word) for word in words]
    token_of = {word: word_token(tokens, word) for word in words}
    followed = list(dict.fromkeys(token for token in token_of.values() if token is not None))
    if followed:
        chips = (token_chip(token, False, scheme) for token in followed)
        st.html(token_line("Tokens that are followed", "", chips, scheme))
    refused = [word for word, token in token_of.items() if token is None]
    for word in refused:
        parts = tokens.token_strings(tokens.encode(_within(word)))
        show_error(
            f"“{word}” is {len(parts)} tokens of this model ({' | '.join(parts[:MOST_PARTS])}"
            f"{' | …' if len(parts) > MOST_PARTS else ''}): only single tokens can be followed."
        )
    if len(words) > MOST_WORDS:
        show_error(f"{len(words)} words: up to {MOST_WORDS} can be followed.")
    return None if refused or len(words) > MOST_WORDS else followed


def word_token(tokens: Tokens, word: str) -> str | None:
    """Return the token of a word; None if the word is not a single token.

    The word with a leading space is tried first, then the word alone.
    """
    return next((text for text in (_within(word), word) if tokens.token_id(text) is not None), None)


def _within(word: str) -> str:
    """Return a word as within a text: with a leading space if it begins with a letter or digit."""
    return f" {word}" if word[0].isalnum() else word


def _circuit(model: str) -> dict[str, Any] | None:
    """Draw the chooser of a circuit of the model; return the circuit's fields, None for the whole model."""
    current_shelf = shelf()
    runs = [run_id for run_id, run in current_shelf.runs.items() if run.request.model == model]
    if st.session_state.get("lens-new-circuit") not in (None, NOTHING, *runs):
        st.session_state["lens-new-circuit"] = NOTHING
    chosen = st.selectbox(
        "In the circuit of",
        [NOTHING, *runs],
        key="lens-new-circuit",
        format_func=lambda run_id: "the whole model" if run_id == NOTHING else current_shelf.label(run_id),
        help="The text runs through a circuit of this run.",
    )
    if chosen == NOTHING or chosen not in current_shelf.runs:
        return None
    run, opened = current_shelf.runs[chosen], open_run(chosen)
    sizes = list(opened.sizes)
    edges = st.selectbox(
        "Edges",
        sizes,
        index=sizes.index(opened.size),
        format_func=lambda asked: f"{opened.sizes[asked]:,} of {opened.graph.n_edges:,}",
        key=f"lens-new-edges-{chosen}",
        help="Of the circuit, without edges that lead nowhere.",
    )
    if (ablation := run.request.ablation) not in STANDS:
        st.caption(
            f"It was found under {plain(title_of('ablation', ablation).lower())} ablation. Here what it "
            "leaves out writes a constant, under which it may say little."
        )
    return {"run": chosen, "edges": edges}


def _lenses(model: str, tokens: Tokens | None) -> list[str]:
    """Draw notes on downloads, training and lenses that cannot read; return the names of lenses that can."""
    names = all_lenses()
    if not model or (tokens is None and on_this_machine(model)):
        return names
    if tokens is None:
        st.caption(
            "This model is not on this machine: it is fetched when the form is sent, and its lenses are "
            "trained first, once."
        )
    elif (trained := default_training(shelf(), model, tokens.shape)) is None:
        st.caption(
            "The lenses of this model are trained first, once: minutes for a small model or on a GPU, hours "
            "for one of a hundred million parameters without."
        )
    elif late := [name for name in names if name not in lenses_to_read(trained)]:
        st.caption(
            plain(
                f"Not read by {', '.join(lens_title(name) for name in late)}: run {trained.run_id}, which "
                "trained the lenses of this model, has none."
            )
        )
        return lenses_to_read(trained)
    return names


def _submit(model: str, reading: dict[str, Any]) -> None:
    """Put the job into the queue.

    Raises:
        CircuitExplorerError: the request is refused.
    """
    require_model(model)
    job_id = queue().submit(make_request("lens", model=model, lens=reading))
    # The queue knows the request with everything filled in, which is what a reading goes by.
    completed = queue().status(job_id).request
    assert isinstance(completed, ReadText)
    st.session_state["lens-next"] = reading_key(completed)
    st.rerun()
