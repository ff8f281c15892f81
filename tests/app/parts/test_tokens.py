"""How what is typed continues a prompt."""

import pytest

from app.parts.tokens import continuation
from engine.models.shape import ModelShape
from engine.models.tokens import Tokens

PIECES = ["13", "00", " 00", " 13", "“", " “", "Paris", " Paris", " “ ", ".", "'s", " is", "is", "x"]


class Pieces:
    """A tokenizer that takes the longest piece that fits, from left to right, and has no special tokens."""

    bos_token = eos_token = pad_token = bos_token_id = None

    def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        ids = []
        while text:
            piece = max((piece for piece in PIECES if text.startswith(piece)), key=len)
            ids.append(PIECES.index(piece))
            text = text[len(piece) :]
        return {"input_ids": ids}


TOKENS = Tokens("pieces", ModelShape("gpt2", 1, 1, 1, 1, 1, len(PIECES), 99, False), Pieces())


@pytest.mark.parametrize(
    ("prompt", "typed", "text"),
    [
        ("x is", "Paris", " Paris"),
        ("x is", " Paris ", " Paris"),
        ("x is “", "Paris", "Paris"),  # with a space, the quotation mark would be another token
        ("x is", ".", "."),
        ("x", "'s", "'s"),
        ("x 13", "00", "00"),  # the digits go on
    ],
)
def test_a_word_gets_its_space_and_nothing_else_does(prompt, typed, text):
    assert continuation(TOKENS, prompt, typed) == text


def test_a_text_that_changes_the_tokens_before_it_adds_none():
    assert TOKENS.continuation_ids("x is “", "Paris") == [PIECES.index("Paris")]
    assert TOKENS.continuation_ids("x is “", " Paris") == []
    assert TOKENS.continuation_ids("x is", "") == []
