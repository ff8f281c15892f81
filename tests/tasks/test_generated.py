"""What holds for every generated task: lengths, answers, splits, determinism, too few words."""

from itertools import combinations

import pytest

from engine.errors import RequestError
from engine.tasks.base import tasks

NAMES = (
    "boolean-few-shot",
    "boolean-instruction",
    "facts",
    "gendered-pronoun",
    "greater-than",
    "induction",
    "ioi",
    "ioi-t1",
)
SPLITS = ("train", "validation", "test")


class Characters:
    """A tokenizer without words: one token a character."""

    def encode(self, text):
        return [ord(character) for character in text]

    def token_id(self, text):
        return ord(text) if len(text) == 1 else None


def test_all_tasks_are_registered_and_described():
    assert set(NAMES) <= set(tasks.names())
    for name in NAMES:
        assert tasks.get(name).title
        assert "'" in tasks.get(name).description


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", NAMES)
def test_pairs_are_comparable(words, name, split):
    pairs = tasks.get(name).pairs(words, split, 150, seed=1)
    assert len(pairs) >= 100
    assert len({pair.clean for pair in pairs}) == len(pairs)
    for pair in pairs:
        clean, corrupt = words.encode(pair.clean), words.encode(pair.corrupt)
        assert len(clean) == len(corrupt) < 64
        assert clean != corrupt
        assert pair.answers
        assert pair.wrong_answers
        assert not set(pair.answers) & set(pair.wrong_answers)
        for answer in (*pair.answers, *pair.wrong_answers):
            continued = words.encode(pair.clean + answer)
            assert continued == [*clean, words.token_id(answer)]


@pytest.mark.parametrize("name", NAMES)
def test_splits_share_no_prompt(words, name):
    prompts = {split: set() for split in SPLITS}
    for split in SPLITS:
        for seed, n in ((0, 400), (1, 400), (2, 50)):
            for pair in tasks.get(name).pairs(words, split, n, seed):
                prompts[split] |= {pair.clean, pair.corrupt}
    for one, other in combinations(SPLITS, 2):
        assert not prompts[one] & prompts[other]


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides(words, name):
    task = tasks.get(name)
    first = task.pairs(words, "test", 40, seed=3)
    assert first == task.pairs(words, "test", 40, seed=3)
    assert first != task.pairs(words, "test", 40, seed=4)
    assert len(first) == 40
    assert task.pairs(words, "test", 0, seed=3) == []


def test_a_small_split_ends(words):
    every = tasks.get("facts").pairs(words, "validation", 100_000, seed=0)
    assert 200 < len(every) < 1000


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ioi", "task 'ioi' needs at least 20 names that are one token for this model; 0 of 230 are"),
        ("ioi-t1", "task 'ioi-t1' needs at least 20 names"),
        ("gendered-pronoun", "at least 2 pronouns that are one token for this model; 0 of 2 are"),
        ("facts", "at least 20 facts whose answer is one token for this model; 0 of 692 are"),
        ("boolean-instruction", "at least 2 truth values that are one token for this model; 0 of 2 are"),
        ("boolean-few-shot", "at least 2 truth values"),
        ("induction", "at least 100 words that are one token for this model; 0 of"),
    ],
)
def test_too_few_words_are_counted(name, message):
    with pytest.raises(RequestError, match=message):
        tasks.get(name).pairs(Characters(), "test", 10, seed=0)


def test_greater_than_without_tokens_for_digits_is_refused():
    class Whole:
        """Every text is one token, of its own."""

        def token_id(self, text):
            return hash(text)

        def encode(self, text):
            return [hash(text)]

    with pytest.raises(RequestError, match=r"at least 50 years .* digit by digit, .*; of 873 years 0 are"):
        tasks.get("greater-than").pairs(Whole(), "test", 10, seed=0)


def test_words_of_several_tokens_are_left_out(words):
    class WithoutSomeNames:
        """The same tokenizer, but names with an "a" are not one token."""

        encode = staticmethod(words.encode)

        def token_id(self, text):
            return None if "a" in text else words.token_id(text)

    pairs = tasks.get("ioi").pairs(WithoutSomeNames(), "train", 100, seed=0)
    assert len(pairs) == 100
    assert not any("a" in answer for pair in pairs for answer in (*pair.answers, *pair.wrong_answers))
