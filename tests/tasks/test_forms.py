"""Rows of task files in the forms of other tools give the pairs that these tools make of them."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RequestError
from engine.models.tokens import Tokens
from engine.tasks.dataset import load_prompts
from engine.tasks.user_file import read_pairs
from tests.special_tokens import byte_level, tokens_with

PROMPTS = {"clean": "The capital of France is", "corrupted": "The capital of Spain is"}


@pytest.fixture(scope="module")
def tokens() -> Any:
    return tokens_with(byte_level())


def write_csv(path: Path, *rows: dict[str, Any]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("correct_idx", "incorrect_idx"),
        ("answers_idx", "corrupted_answers_idx"),
        ("country_idx", "corrupted_country_idx"),
        ("clean_answer_idx", "corrupted_answer_idx"),
    ],
)
@pytest.mark.parametrize("ids", [(7, 8), ([7, 9], [8])])
def test_token_ids_of_every_task_of_eap_ig(right: str, wrong: str, ids: tuple[Any, Any], tmp_path: Path):
    row = PROMPTS | {right: ids[0], wrong: ids[1], "group": "x"}
    for path in (write_csv(tmp_path / "a.csv", row), write_jsonl(tmp_path / "a.jsonl", row)):
        [pair] = read_pairs(path)
        lists = [value if isinstance(value, list) else [value] for value in ids]
        assert [pair.answers, pair.wrong_answers] == lists
        assert (pair.clean, pair.corrupt) == (PROMPTS["clean"], PROMPTS["corrupted"])


@pytest.mark.parametrize("column", ["correct_idx", "label"])
def test_years_of_greater_than_are_two_digits_above_and_not_above(column: str, tmp_path: Path, tokens: Any):
    row = {
        "clean": "The siege lasted from the year 1352 to the year 13",
        "corrupted": "The siege lasted from the year 1360 to the year 13",
        column: 52,
    }
    path = write_csv(tmp_path / "years.csv", row)
    [pair] = read_pairs(path)
    assert pair.answers == [str(year) for year in range(53, 100)]
    assert pair.wrong_answers == [f"{year:02d}" for year in range(53)]
    prompts = load_prompts(str(path), tokens, "test", 9, 0)
    assert prompts.metric == "probability_difference"
    [item] = prompts.items
    right, wrong = (tokens.token_strings(ids) for ids in (item.answers, item.wrong_answers))
    assert {"60", "77"} <= set(right), "those that are one token of this tokenizer"
    assert {"00", "42", "52"} <= set(wrong)
    assert set(right) <= set(pair.answers)


@pytest.mark.parametrize("year", ["99", "x", "-1", "1352"])
def test_a_label_that_is_no_year_is_refused(year: str, tmp_path: Path):
    path = write_csv(tmp_path / "years.csv", PROMPTS | {"label": year})
    with pytest.raises(RequestError, match="line 2: label"):
        read_pairs(path)


@pytest.mark.parametrize(("plural", "right", "wrong"), [(0, " is", " are"), (1, " are", " is")])
def test_agreement_has_verbs_of_one_number_against_the_other(
    plural: int, right: str, wrong: str, tmp_path: Path
):
    [pair] = read_pairs(write_csv(tmp_path / "sva.csv", PROMPTS | {"plural": plural, "group": "x"}))
    assert right in pair.answers
    assert wrong in pair.wrong_answers
    assert not set(pair.answers) & set(pair.wrong_answers)
    assert (pair.some, pair.metric) == (True, "probability_difference")


def marked(clean: str, corrupted: str) -> dict[str, str]:
    return {"clean": clean, "corrupted": corrupted}


def test_marks_of_edge_pruning_cut_prompts_and_answers(tmp_path: Path, tokens: Tokens):
    path = write_jsonl(
        tmp_path / "ep.jsonl",
        marked(
            "The capital of France is <predict>Paris</predict>, and", "The capital of Spain is Madrid, and"
        ),
        marked(
            "The capital of Italy is<predict> Rome</predict>",
            "The capital of Spain is<predict> Madrid</predict>",
        ),
    )
    first, second = read_pairs(path)
    assert (first.clean, first.answers, first.wrong_answers) == (
        "The capital of France is",
        [" Paris"],
        [" Rome"],
    )
    assert (second.corrupt, second.answers) == ("The capital of Spain is", [" Rome"])
    prompts = load_prompts(str(path), tokens, "test", 9, 0)  # pyright: ignore[reportArgumentType]
    for item in prompts.items:
        assert tokens.text_of(item.corrupt_ids) == "The capital of Spain is"
        assert len(item.corrupt_ids) == len(item.clean_ids)
    assert any("wrong answers are those of the other prompts" in note for note in prompts.notes)


def test_of_an_answer_of_several_tokens_the_first_counts(tmp_path: Path, tokens: Tokens):
    path = write_jsonl(
        tmp_path / "ep.jsonl",
        marked("The capital of France is <predict>Paris the king</predict>", "The capital of Spain is x"),
        marked("The capital of Italy is <predict>Rome</predict>", "The capital of Spain is x"),
    )
    prompts = load_prompts(str(path), tokens, "test", 9, 0)  # pyright: ignore[reportArgumentType]
    assert tokens.token_strings(prompts.items[0].answers) == [" Paris"]


@pytest.mark.parametrize(
    ("clean", "says"),
    [
        ("The <predict>", "between <predict> and </predict>"),
        ("<predict>x</predict>", "after a prompt"),
        ("The capital is <predict>x</predict>", "all answers are ' x', and no wrong one is named"),
    ],
)
def test_marks_that_cannot_be_used(clean: str, says: str, tmp_path: Path):
    with pytest.raises(RequestError, match=says):
        read_pairs(write_jsonl(tmp_path / "ep.jsonl", marked(clean, "A b c")))


def test_token_ids_are_shown_as_what_they_stand_for(tmp_path: Path, tokens: Any):
    right, wrong = (tokens.continuation_id("a", word) for word in (" Paris", " Madrid"))
    row = PROMPTS | {"correct_idx": right, "incorrect_idx": wrong}
    notes = load_prompts(str(write_csv(tmp_path / "a.csv", row)), tokens, "test", 9, 0).notes
    assert any("stand for ' Paris' as answer, and ' Madrid' as wrong answer" in note for note in notes)


def test_token_ids_of_another_tokenizer_are_refused(tmp_path: Path, tokens: Any):
    marks = [tokens.encode(mark)[0] for mark in ("#", "%")]
    row = PROMPTS | {"correct_idx": marks[0], "incorrect_idx": marks[1]}
    with pytest.raises(RequestError, match=r"stand for '#' as answer, .*another model's tokenizer"):
        load_prompts(str(write_csv(tmp_path / "a.csv", row)), tokens, "test", 9, 0)
    row = PROMPTS | {"correct_idx": 99_999, "incorrect_idx": marks[1]}
    with pytest.raises(RequestError, match=r"99999 is outside the vocabulary .*another model's tokenizer"):
        load_prompts(str(write_csv(tmp_path / "b.csv", row)), tokens, "test", 9, 0)


def test_the_nearest_form_is_named(tmp_path: Path):
    with pytest.raises(RequestError, match=r"EAP-IG's hypernymy, .* missing: corrupted_answers_idx") as error:
        read_pairs(write_jsonl(tmp_path / "a.jsonl", PROMPTS | {"answers_idx": [3], "wrong": 4}))
    assert "Edge Pruning" in str(error.value)


def test_cases_of_users(shared_data: Path, tokens: Any):
    cases = shared_data / "cases"
    [first, second] = read_pairs(cases / "years.csv")
    assert (first.answers[0], second.answers[0]) == ("53", "43")
    for name, says in (
        ("same.jsonl", "line 1: clean and corrupt prompt are the same"),
        ("trailing_space.jsonl", "the prompt ends in a space: drop it"),
        ("ids_flat.json", "'clean' is a list, perhaps of token ids"),
    ):
        with pytest.raises(RequestError, match=says):
            load_prompts(str(cases / name), tokens, "test", 9, 0)
    plain = load_prompts(str(cases / "cap.jsonl"), tokens, "test", 9, 0).items
    for specials in ("eos", "bos", "bos-eos"):
        other: Any = tokens_with(byte_level(specials))
        assert load_prompts(str(cases / "cap.jsonl"), other, "test", 9, 0, bos=False).items == plain
