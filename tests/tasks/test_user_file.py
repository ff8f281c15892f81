"""User task files: the three forms, the splits, and every kind of broken file."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RequestError
from engine.models import Model
from engine.tasks.dataset import load_prompts
from engine.tasks.user_file import read_pairs, split_pairs
from tests.special_tokens import byte_level, tokens_with

GOOD = {"clean": "w1 w2 w3", "corrupt": "w1 w4 w3", "answers": [" w5"], "wrong_answers": [" w6"]}


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def jsonl(folder: Path, n: int) -> Path:
    rows = [
        GOOD | {"clean": f"w{i % 50} w{i // 50} w3", "corrupt": f"w{i % 50} w{i // 50} w9"} for i in range(n)
    ]
    return write(folder, "task.jsonl", "\n".join(json.dumps(row) for row in rows))


def test_the_three_forms_give_the_same_pairs(tmp_path: Path, tiny_model: Model) -> None:
    answer, wrong = (tiny_model.token_id(word) for word in ("w5", "w6"))
    forms = [
        write(tmp_path, "a.jsonl", json.dumps(GOOD) + "\n\n"),
        write(tmp_path, "a.json", json.dumps({"word_idxs": {}, "prompts": [GOOD]})),
        write(
            tmp_path,
            "a.csv",
            f'id,clean,corrupted,correct_idx,incorrect_idx\n0,w1 w2 w3,w1 w4 w3,{answer},"[{wrong}]"\n',
        ),
    ]
    found = [load_prompts(str(path), tiny_model, "train", 10, 0).items for path in forms]
    assert found[0] == found[1] == found[2]
    assert (found[0][0].answers, found[0][0].wrong_answers) == ([answer], [wrong])


def test_splits_are_60_20_20_and_share_nothing(tmp_path: Path) -> None:
    pairs = read_pairs(jsonl(tmp_path, 100))
    splits = [split_pairs(pairs, split) for split in ("train", "validation", "test")]
    assert [len(part) for part, _ in splits] == [60, 20, 20]
    assert all(note is None for _, note in splits)
    lines = [{pair.line for pair in part} for part, _ in splits]
    assert set.union(*lines) == set(range(1, 101))
    assert lines[0] != set(range(1, 61)), "shuffled"


def test_pairs_that_share_a_prompt_stay_together(tmp_path: Path) -> None:
    rows = [GOOD | {"clean": f"w{i} w1", "corrupt": f"w{i} w2"} for i in range(40)]
    swapped = [row | {"clean": row["corrupt"], "corrupt": row["clean"]} for row in rows]
    path = write(tmp_path, "a.jsonl", "\n".join(json.dumps(row) for row in rows + swapped + rows))
    parts = [split_pairs(read_pairs(path), split)[0] for split in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [72, 24, 24]
    prompts = [{text for pair in part for text in (pair.clean, pair.corrupt)} for part in parts]
    assert not any(a & b for i, a in enumerate(prompts) for b in prompts[:i])


def test_a_file_whose_pairs_all_share_a_prompt_is_used_whole(tmp_path: Path) -> None:
    rows = [GOOD | {"corrupt": f"w{i} w4 w3"} for i in range(40)]
    path = write(tmp_path, "a.jsonl", "\n".join(json.dumps(row) for row in rows))
    pairs, note = split_pairs(read_pairs(path), "test")
    assert len(pairs) == 40
    assert note is not None
    assert "share their prompts" in note


def test_a_small_file_is_used_whole_and_that_is_said(tmp_path: Path, tiny_model: Model) -> None:
    path = jsonl(tmp_path, 29)
    prompts = load_prompts(str(path), tiny_model, "test", 100, 0)
    assert len(prompts.items) == 29
    assert "29 pairs" in prompts.notes[0]
    assert "used whole" in prompts.notes[0]


BROKEN = [
    ("a.jsonl", "", "is empty"),
    ("a.jsonl", json.dumps(GOOD) + "\n{oops\n", "line 2: no JSON"),
    ("a.jsonl", "[1]", "line 1: an object with clean, corrupt"),
    ("a.jsonl", json.dumps(GOOD | {"clean": ""}), "line 1: 'clean' must be a text"),
    ("a.jsonl", json.dumps(GOOD | {"answers": []}), "line 1: 'answers' must be a list"),
    ("a.jsonl", json.dumps(GOOD | {"answers": " w5"}), "line 1: 'answers' must be a list"),
    (
        "a.jsonl",
        json.dumps({"clean": "w1", "corrupt": "w2", "answers": ["w3"]}),
        "are missing: wrong_answers",
    ),
    ("a.json", '{"prompts": 3}', "an object with a list 'prompts'"),
    ("a.json", '{"prompts": [', "line 1: no JSON"),
    ("a.csv", "clean,corrupted\nw1,w2\n", "nearest form is EAP-IG's greater-than, .* missing: correct_idx"),
    ("a.csv", "clean,right\nw1,w2\n", "line 1: the nearest form is"),
    (
        "a.json",
        json.dumps({"prompts": [GOOD | {"clean": [3, 1]}]}),
        "prompt 1: 'clean' is a list",
    ),
    ("a.csv", "clean,corrupted,correct_idx,incorrect_idx\nw1,w2,x,3\n", "line 2: correct_idx"),
    ("a.csv", "clean,corrupted,correct_idx,incorrect_idx\nw1,w2,3.7,3\n", "line 2: correct_idx"),
    ("a.csv", "clean,corrupted,correct_idx,incorrect_idx\nw1,w2,true,3\n", "line 2: correct_idx"),
    ("a.txt", "x", "must end in .jsonl, .json, .csv"),
]


@pytest.mark.parametrize(("name", "text", "message"), BROKEN)
def test_a_broken_file_says_where_and_what(name: str, text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=message):
        read_pairs(write(tmp_path, name, text))


def test_no_file_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="does not exist"):
        read_pairs(tmp_path / "none.jsonl")
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(RequestError, match="no UTF-8 text"):
        read_pairs(tmp_path / "bytes.jsonl")


FOR_A_MODEL = [
    (GOOD | {"corrupt": GOOD["clean"]}, "line 1: clean and corrupt prompt are the same"),
    (GOOD | {"wrong_answers": [" w6", " w5"]}, "line 1: 'w5' is among the answers and among the wrong"),
    (GOOD | {"corrupt": "w1 w4"}, "line 1: clean has 3 tokens, corrupt 2"),
    (GOOD | {"answers": [" w5 w6"]}, "line 1: the answer ' w5 w6' is not one token"),
    (GOOD | {"answers": [999_999]}, "line 1: token id 999999 is outside the vocabulary"),
    (GOOD | {"clean": "w1 " * 40, "corrupt": "w2 " * 40}, "line 1: 40 tokens, but the model's context is 32"),
]


@pytest.mark.parametrize(("row", "message"), FOR_A_MODEL)
def test_a_pair_that_does_not_fit_the_model(
    row: dict[str, object], message: str, tmp_path: Path, tiny_model: Model
) -> None:
    path = write(tmp_path, "a.jsonl", json.dumps(row))
    with pytest.raises(RequestError, match=message):
        load_prompts(str(path), tiny_model, "train", 10, 0)


def test_batches_have_one_length_and_nearly_equal_sizes(tmp_path: Path, tiny_model: Model) -> None:
    rows = [GOOD | {"clean": f"w{i} w3", "corrupt": f"w{i} w4"} for i in range(10)]
    rows += [GOOD | {"clean": f"w{i} w3 w1", "corrupt": f"w{i} w4 w1"} for i in range(9)]
    path = write(tmp_path, "a.jsonl", "\n".join(json.dumps(row) for row in rows))
    prompts = load_prompts(str(path), tiny_model, "train", 100, 0)
    batches = prompts.batches(4, seed=1)
    assert sorted(i for batch in batches for i in batch) == list(range(19))
    assert sorted(map(len, batches)) == [3, 3, 3, 3, 3, 4]
    assert all(len({len(prompts.items[i].clean_ids) for i in batch}) == 1 for batch in batches)
    assert prompts.batches(4, seed=1) == batches != prompts.batches(4, seed=2)


@pytest.mark.parametrize(
    "bad",
    [
        {"corrupt": "w1 w4"},
        {"corrupt": GOOD["clean"]},
        {"answers": [" w5 w6"]},
        {"answers": [" w6"]},
        {"clean": "w1 " * 40, "corrupt": "w2 " * 40},
    ],
    ids=["length", "same", "two tokens", "right and wrong", "context"],
)
def test_a_few_pairs_that_cannot_be_used_are_left_out_and_counted(
    bad: dict[str, object], tmp_path: Path, tiny_model: Model
) -> None:
    rows = [GOOD | {"clean": f"w{i} w2 w3", "corrupt": f"w{i} w9 w3"} for i in range(10)]
    path = write(tmp_path, "a.jsonl", "\n".join(json.dumps(row) for row in [*rows, GOOD | bad]))
    prompts = load_prompts(str(path), tiny_model, "train", 100, 0)
    assert len(prompts.items) == 10
    assert "1 of 11 pairs are left out. The first: " in prompts.notes[-1]
    assert "line 11: " in prompts.notes[-1]


def test_if_few_pairs_are_left_the_first_problem_is_told(tmp_path: Path, tiny_model: Model) -> None:
    rows = [GOOD | {"clean": f"w{i} w2 w3", "corrupt": f"w{i} w9 w3"} for i in range(10)]
    bad = [GOOD | {"corrupt": "w1"}] * 11
    for some, line in (([*rows[:9], bad[0]], 10), ([*rows, *bad], 11)):
        path = write(tmp_path, "a.jsonl", "\n".join(json.dumps(row) for row in some))
        with pytest.raises(RequestError, match=f"line {line}: clean has 3 tokens, corrupt 1"):
            load_prompts(str(path), tiny_model, "train", 100, 0)


def test_pairs_that_are_not_needed_are_not_complained_of(tmp_path: Path, tiny_model: Model) -> None:
    rows = [GOOD | {"clean": f"w{i} w2 w3", "corrupt": f"w{i} w9 w3"} for i in range(10)]
    path = write(tmp_path, "a.jsonl", "\n".join(json.dumps(row) for row in [*rows, GOOD | {"corrupt": "w1"}]))
    assert not any("left out" in note for note in load_prompts(str(path), tiny_model, "train", 5, 0).notes)


def test_repetitions_are_noted(tmp_path: Path, tiny_model: Model) -> None:
    path = write(tmp_path, "a.jsonl", "\n".join([json.dumps(GOOD)] * 3))
    notes = load_prompts(str(path), tiny_model, "train", 5, 0).notes
    assert any("2 of 3 pairs" in note and "repetitions" in note for note in notes)


def test_a_space_at_the_end_is_noted_or_refused(tmp_path: Path) -> None:
    tokens: Any = tokens_with(byte_level())
    row = {"clean": "The king said that ", "corrupt": "The queen said that ", "wrong_answers": ["she"]}
    path = write(tmp_path, "a.jsonl", json.dumps(row | {"answers": ["he"]}))
    with pytest.raises(RequestError, match=r"line 1: .*the prompt ends in a space: drop it"):
        load_prompts(str(path), tokens, "train", 5, 0)
    spaced = row | {"answers": [" he"], "wrong_answers": [" she"]}
    prompts = load_prompts(str(write(tmp_path, "b.jsonl", json.dumps(spaced))), tokens, "train", 5, 0)
    assert "2 of 2 prompts end in a space, which is a token of its own" in prompts.notes
    assert tokens.text_of(prompts.items[0].answers) == " he"


def test_words_of_unequal_length_are_named(tmp_path: Path) -> None:
    tokens: Any = tokens_with(byte_level())
    row = {
        "clean": "The king said",
        "corrupt": "The feudal said",
        "answers": [" he"],
        "wrong_answers": [" she"],
    }
    path = write(tmp_path, "a.jsonl", json.dumps(row))
    with pytest.raises(RequestError, match=r"equally long \('king' takes 1, 'feudal' \d\)"):
        load_prompts(str(path), tokens, "train", 5, 0)
