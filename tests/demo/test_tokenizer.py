"""The demo model's tokenizer: exact round trip, one token a word, years in halves, one BOS."""

import pytest

from engine.demo.corpus import END, END_ID
from engine.demo.tokenizer import TokenizerWords, build_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "When Mary and John went to the store, John gave a drink to",
        "Zürich, São Paulo and naïve cafés",
        "tabs\tand\n\nnew lines \r\n",
        "double  spaces   and trailing ",
        "emoji 🦔🇫🇷 and 漢字",
        "it's isn't 'quoted' ''",
        "12 345 6789 1743-1750 3.14",
        "unknownword Unbelievable_thing (a+b)*c",
        "\x00\x7f",
    ],
)
def test_any_text_round_trips(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert tokenizer.decode(ids) == text


def test_it_puts_one_bos_at_the_beginning(tokenizer):
    ids = tokenizer("The war lasted").input_ids
    assert ids[0] == END_ID == tokenizer.bos_token_id
    assert ids.count(END_ID) == 1
    assert tokenizer.convert_ids_to_tokens(END_ID) == END


@pytest.mark.parametrize("year", ["1100", "1743", "1999", "1801"])
def test_years_are_two_tokens_of_two_digits(tokenizer, year):
    ids = tokenizer(f" {year}", add_special_tokens=False).input_ids
    assert [tokenizer.decode([i]) for i in ids] == [f" {year[:2]}", year[2:]]


def test_words_with_and_without_space_are_two_tokens(tokenizer):
    words = TokenizerWords(tokenizer)
    assert words.token_id("Mary") != words.token_id(" Mary")
    assert None not in (words.token_id("Mary"), words.token_id(" Mary"))
    assert words.token_id("") is None
    assert words.token_id("unknownword") is None


def test_it_is_the_same_every_time(tokenizer):
    assert build_tokenizer().get_vocab() == tokenizer.get_vocab()


def test_a_saved_one_is_the_same(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    text = "Then Mary  said: São 1743"
    assert AutoTokenizer.from_pretrained(tmp_path)(text).input_ids == tokenizer(text).input_ids
