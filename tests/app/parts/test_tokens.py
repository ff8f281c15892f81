"""How what is typed continues a prompt."""

from typing import Any, cast

import pytest

from app.parts.tokens import continuation
from engine.models.shape import ModelShape
from engine.models.tokens import Tokens

PIECES = ["“", " “", "Paris", " Paris", " “ ", ".", "'s", " is", "is", "x"]


def encode(text: str, add_special_tokens: bool) -> dict[str, list[str]]:
    """The longest piece that fits, from left to right."""
    found = []
    while text:
        piece = max((piece for piece in PIECES if text.startswith(piece)), key=len)
        found.append(piece)
        text = text[len(piece) :]
    return {"input_ids": found}


TOKENS: Any = Tokens("pieces", cast(ModelShape, None), encode)


@pytest.mark.parametrize(
    ("prompt", "typed", "text"),
    [
        ("x is", "Paris", " Paris"),
        ("x is", " Paris ", " Paris"),
        ("x is “", "Paris", "Paris"),  # with a space, the quotation mark would be another token
        ("x is", ".", "."),
        ("x", "'s", "'s"),
    ],
)
def test_a_word_gets_its_space_and_nothing_else_does(prompt, typed, text):
    assert continuation(TOKENS, prompt, typed) == text


def test_a_text_that_changes_the_tokens_before_it_adds_none():
    assert TOKENS.continuation_ids("x is “", "Paris") == ["Paris"]
    assert TOKENS.continuation_ids("x is “", " Paris") == []
    assert TOKENS.continuation_ids("x is", "") == []
