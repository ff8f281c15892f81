"""Prompts as token ids: special tokens, positions, answers, and the text of tokens."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from engine.errors import RequestError
from engine.models.tokens import Tokens
from engine.tracing.prompts import subject_tokens
from tests.special_tokens import BOS, EOS, SPECIALS, byte_level, tokens_with, with_specials

PROMPT = "The capital of France is"


@pytest.fixture(scope="module", params=SPECIALS)
def tokens(request: pytest.FixtureRequest) -> Tokens:
    """The text side of a model whose tokenizer puts special tokens around texts."""
    return tokens_with(byte_level(request.param))


@pytest.fixture(scope="module")
def plain() -> Tokens:
    return tokens_with(byte_level())


@pytest.mark.parametrize("text", [PROMPT, BOS + PROMPT, PROMPT + EOS, BOS + BOS + PROMPT + EOS])
@pytest.mark.parametrize("bos", [None, True, False])
def test_a_prompt_has_one_bos_in_front_and_nothing_special_after_it(
    tokens: Tokens, text: str, bos: bool | None
):
    bare = tokens.encode(PROMPT)
    by_default = [tokens.tokenizer.bos_token_id] * (tokens.tokenizer("a")["input_ids"][0] == 0 or BOS in text)
    front = {None: by_default, True: [0], False: []}[bos]
    assert tokens.prompt_ids(text, bos) == front + bare
    assert len(tokens.prompt_offsets(text, bos)) == len(front) + len(bare)


@pytest.mark.parametrize("text", [PROMPT, BOS + PROMPT, PROMPT + EOS])
@pytest.mark.parametrize("bos", [None, True, False])
def test_the_subject_is_found_whatever_stands_around(tokens: Tokens, text: str, bos: bool | None):
    first, end = subject_tokens(tokens, text, "France", bos)
    assert tokens.text_of(tokens.prompt_ids(text, bos)[first:end]) == " France"


def test_an_answer_continues_a_prompt_whatever_stands_around(tokens: Tokens, plain: Tokens):
    expected = plain.continuation_id(PROMPT, " Paris")
    assert expected is not None
    for text in (PROMPT, BOS + PROMPT, PROMPT + EOS):
        assert tokens.answer_id(text, " Paris") == expected


def test_an_answer_may_be_one_token_by_itself(plain: Tokens):
    """The tokenizer writes "1352" with other tokens than "13" and "52"."""
    prompt = "from the year 1352 to the year 13"
    assert plain.continuation_id(prompt, "52") is None
    token = plain.answer_id(prompt, "52")
    assert token is not None
    assert plain.token_strings([token]) == ["52"]


@pytest.mark.parametrize(
    ("prompt", "answer", "hint"),
    [
        (PROMPT, "Paris", "; should it start with a space?"),
        (PROMPT, "Zanzibar", ""),
        ("The king said that ", "he", "; the prompt ends in a space: drop it, and begin the answer with it"),
    ],
)
def test_a_hint_is_given_where_it_helps(plain: Tokens, prompt: str, answer: str, hint: str):
    assert plain.answer_hint(prompt, answer) == hint


def test_no_other_token_is_taken_after_a_space(plain: Tokens):
    assert plain.answer_id("The king said that", " he") is not None
    assert plain.answer_id("The king said that ", "he") is None


def test_parts_of_a_character_are_shown_as_what_they_make_up(plain: Tokens):
    ids = plain.encode("is 你 🙂")
    strings = plain.token_strings(ids)
    assert "\ufffd" not in "".join(strings)
    assert [string for string in strings if "你" in string] == ["你 1/3", "你 2/3", "你 3/3"]
    assert [string for string in strings if "🙂" in string] == [f"🙂 {i}/4" for i in range(1, 5)]
    assert plain.text_of(ids) == "is 你 🙂"


def test_a_part_without_the_others_is_its_bytes(plain: Tokens):
    ids = plain.encode("你")
    assert plain.token_strings(ids[:1]) == ["<0xE4>"]
    assert plain.token_strings(ids[1:2]) == ["<0xBD>"]
    assert plain.token_strings([ids[0], *plain.encode(" is")]) == ["<0xE4>", " is"]


def test_a_token_is_known_to_be_only_a_space(plain: Tokens):
    [space] = plain.encode(" ")
    assert plain.is_space(space)
    assert not any(map(plain.is_space, plain.encode(PROMPT)))


def test_a_tokenizer_of_few_words_has_its_bos_and_refuses_others():
    """Without a token for unknown words the library raises an exception of no kind."""
    core = Tokenizer(models.WordLevel({BOS: 0, EOS: 1, "up": 2, "down": 3}))  # pyright: ignore[reportCallIssue]
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokens = tokens_with(with_specials(core, "bos-eos"))
    assert tokens.prompt_ids("up down") == [0, 2, 3]
    with pytest.raises(RequestError, match="cannot read 'up left'"):
        tokens.prompt_ids("up left")
