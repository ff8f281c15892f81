"""Subjects are found in prompts, tokens put into classes, tasks split by wording or by relation."""

import pytest

from engine.errors import RequestError
from engine.models.load import load_tokens
from engine.models.tokens import Tokens
from engine.tracing.prompts import Traced, notes_on, occurrences, own_prompt, subject_tokens, task_prompts
from tests.special_tokens import byte_level, tokens_with


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    """The demo model's text side."""
    return load_tokens("explorer-4l")


@pytest.mark.parametrize(
    ("prompt", "subject", "expected"),
    [
        ("The capital of France is", "France", [" France"]),
        ("The capital of France is", " France ", [" France"]),
        ("France borders France and", "France", ["France"]),
    ],
)
def test_tokens_of_the_subject(tokens: Tokens, prompt: str, subject: str, expected: list[str]) -> None:
    """With its leading space, and the first time it stands there."""
    first, end = subject_tokens(tokens, prompt, subject)
    strings = tokens.token_strings(tokens.prompt_ids(prompt))[first:end]
    assert "".join(strings).strip() == "".join(expected).strip()


@pytest.mark.parametrize(
    ("text", "subject", "places"),
    [
        ("An Iranian of Iran met Iran", "Iran", [(14, 18), (23, 27)]),  # as a word, not within one
        ("Iranians and Iran", "Iran", [(13, 17)]),
        ("Iranians", "Iran", [(0, 4)]),  # within a word, if nowhere else
        ("法国的首都是", "法国", [(0, 2)]),
        ("C++ is", "C++", [(0, 3)]),
        ("x", " ", []),
    ],
)
def test_a_subject_is_a_word_of_its_own_first(text: str, subject: str, places: list[tuple[int, int]]) -> None:
    assert occurrences(text, subject) == places


def test_one_of_several_occurrences_is_chosen(tokens: Tokens) -> None:
    prompt = "France borders France and"
    spans = [subject_tokens(tokens, prompt, "France", occurrence=n) for n in (1, 2)]
    strings = tokens.token_strings(tokens.prompt_ids(prompt))
    assert ["".join(strings[slice(*span)]) for span in spans] == ["France", " France"]
    with pytest.raises(RequestError, match=r"stands 2 times in the prompt .* no occurrence 3"):
        subject_tokens(tokens, prompt, "France", occurrence=3)


@pytest.mark.parametrize("bos", [None, True, False])
def test_tokens_of_the_subject_with_and_without_bos(tokens: Tokens, bos: bool | None) -> None:
    """Special tokens in front are counted."""
    prompt = "The capital of South Korea is"
    first, end = subject_tokens(tokens, prompt, "South Korea", bos)
    assert "".join(tokens.token_strings(tokens.prompt_ids(prompt, bos)[first:end])) == " South Korea"


@pytest.mark.parametrize(
    ("subject", "says"),
    [("Spain", "does not stand in"), ("france", "did you mean 'France'"), ("  ", "does not stand in")],
)
def test_a_subject_that_is_not_there(tokens: Tokens, subject: str, says: str) -> None:
    """One line that says what would be right."""
    with pytest.raises(RequestError, match=says):
        subject_tokens(tokens, "The capital of France is", subject)


def test_classes_of_tokens() -> None:
    """Before the subject none, one class for every other token, the last of the prompt before all."""
    prompt = Traced("", list(range(9)), (2, 5), [1], 2)
    assert [prompt.token_class(i) for i in range(9)] == [None, None, 0, 1, 2, 3, 4, 4, 5]
    short = Traced("", list(range(4)), (1, 2), [1], 2)
    assert [short.token_class(i) for i in range(4)] == [None, 2, 3, 5]
    at_end = Traced("", list(range(3)), (1, 3), [1], 2)
    assert [at_end.token_class(i) for i in range(3)] == [None, 0, 5]


def test_own_prompts_with_answers_of_several_tokens(tokens: Tokens) -> None:
    """An answer may be longer than a token, but has to continue the prompt."""
    traced = own_prompt(tokens, "The capital of France is", "France", " Paris and London", " Rome", None)
    assert "".join(tokens.token_strings(traced.answer)) == " Paris and London"
    assert tokens.token_strings([traced.wrong]) == [" Rome"]
    with pytest.raises(RequestError, match="token by token"):
        own_prompt(tokens, "The capital of France is", "France", "", None, None)


def test_a_prompt_can_fill_the_context(tokens: Tokens) -> None:
    """The last token of an answer is not read, so it needs no place."""
    begin, n = (
        "The capital of France is",
        tokens.shape.n_ctx - len(tokens.prompt_ids("The capital of France is")),
    )
    whole = begin + " is" * n
    assert len(own_prompt(tokens, whole, "France", " Paris", None, None).tokens) == tokens.shape.n_ctx
    assert own_prompt(tokens, whole, "France", None, None, None).answer == []
    for prompt, answer in ((whole, " Paris is"), (whole + " is", None)):
        with pytest.raises(RequestError, match=f"take {tokens.shape.n_ctx + 1} positions"):
            own_prompt(tokens, prompt, "France", answer, None, None)


def test_relations_held_out_are_in_neither_split_of_the_other(tokens: Tokens) -> None:
    """No relation is in both; at random they are."""
    by = {
        holdout: [
            {prompt.relation for prompt in task_prompts("facts", tokens, split, 100, 0, holdout)}
            for split in ("train", "test")
        ]
        for holdout in ("random", "relations")
    }
    assert by["random"][0] & by["random"][1]
    assert not by["relations"][0] & by["relations"][1]
    assert len(by["relations"][0]) > len(by["relations"][1]) > 1


def test_random_split_shares_no_prompt(tokens: Tokens) -> None:
    """The task's own splits."""
    train, test = (
        {prompt.text for prompt in task_prompts("facts", tokens, split, 300, 0, "random")}
        for split in ("train", "test")
    )
    assert not train & test


def test_tasks_without_subjects(tokens: Tokens) -> None:
    """They say which task has them."""
    with pytest.raises(RequestError, match="those of 'facts' do"):
        task_prompts("ioi", tokens, "test", 10, 0, "random")


def test_what_may_not_be_meant_is_noted() -> None:
    """Several subjects, a space at the end, and answers that begin with a token that is only a space."""
    spaced = tokens_with(byte_level())
    prompt = "France borders France "
    [space] = spaced.encode(" ")
    traced = Traced(prompt, spaced.prompt_ids(prompt), (0, 1), [space, 5], space)
    notes = notes_on(spaced, traced, "France", 2)
    assert [note.split(";")[0] for note in notes] == [
        "'France' stands 2 times in the prompt",
        "the prompt ends in a space, which is a token of its own",
        "the answer begins with a token that is only a space",
        "the wrong answer begins with a token that is only a space",
    ]
    assert "occurrence 2" in notes[0]
    plain = Traced("France is", spaced.prompt_ids("France is"), (0, 1), [5], 6)
    assert notes_on(spaced, plain, "France", 1) == []
