"""Forms of the rows of task files, told apart by their fields: ours, and those of other tools.

Ours, as in auto-circuit (Miller et al. 2024): clean, corrupt, answers, wrong_answers. EAP-IG (Hanna et al.
2024) has clean and corrupted, and by task the ids of tokens in two columns, a year or a number. Edge Pruning
(Bhaskar et al. 2024) has clean and corrupted, with marks <predict> and </predict> around the answer.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.files import is_list
from engine.tasks.base import Metric
from engine.tasks.draw import data

Answers = list[str] | list[int]
PREDICT, END = "<predict>", "</predict>"


@dataclass(frozen=True)
class FilePair:
    """One pair of a user's file; answers are strings, or token ids where the file gives ids.

    Attributes:
        line: line of the file, or number of the prompt.
        metric: the metric of the file's task.
        some: whether answers that are not one token are left out, since the file lists all possible ones.
        first: whether only the first token of an answer counts.
        corrupt_is_longer: whether the corrupt text goes on after the place of the answer.
    """

    line: int
    clean: str
    corrupt: str
    answers: Answers
    wrong_answers: Answers
    metric: Metric = "logit_difference"
    some: bool = False
    first: bool = False
    corrupt_is_longer: bool = False


@dataclass(frozen=True)
class Form:
    """One form of rows.

    Attributes:
        title: its tool and task.
        fields: names of its fields.
        read: returns the fields of a `FilePair`; raises ValueError with what is wrong.
    """

    title: str
    fields: tuple[str, ...]
    read: Callable[[Mapping[str, Any]], dict[str, Any]]


def _ours(row: Mapping[str, Any]) -> dict[str, Any]:
    for name in ("answers", "wrong_answers"):
        values = row[name]
        kinds: set[type] = {type(value) for value in values} if is_list(values) else set()
        if not values or kinds not in ({str}, {int}):
            raise ValueError(f"'{name}' must be a list of one or more words, e.g. [\" Mary\"]")
    return {"answers": row["answers"], "wrong_answers": row["wrong_answers"]}


def _ids_in(right: str, wrong: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Return the reader of a form with token ids in two columns."""

    def read(row: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return {"answers": _ids(row[right]), "wrong_answers": _ids(row[wrong])}
        except (ValueError, TypeError) as error:
            raise ValueError(f"{right} and {wrong} must be token ids") from error

    return read


def _years_in(column: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Return the reader of greater-than, whose column has the two digits of the first year."""

    def read(row: Mapping[str, Any]) -> dict[str, Any]:
        try:
            year = int(row[column])
        except (ValueError, TypeError) as error:
            raise ValueError(f"{column} must be the last two digits of a year") from error
        if not 0 <= year <= 98:
            raise ValueError(f"{column} is {year}; a later year of two digits is needed as answer")
        years = [f"{number:02d}" for number in range(100)]
        answers = {"answers": years[year + 1 :], "wrong_answers": years[: year + 1]}
        return answers | {"metric": "probability_difference", "some": True}

    return read


def _agreement(row: Mapping[str, Any]) -> dict[str, Any]:
    """Read subject-verb agreement: the verbs of one number against those of the other."""
    try:
        plural = {"0": False, "1": True}[str(row["plural"]).strip()]
    except KeyError as error:
        raise ValueError("plural must be 0 or 1") from error
    verbs = data("verbs")
    forms = [[f" {verb}" for verb in verbs[name]] for name in ("third_person", "plural")]
    answers = {"answers": forms[plural], "wrong_answers": forms[not plural]}
    return answers | {"metric": "probability_difference", "some": True}


def _marked(row: Mapping[str, Any]) -> dict[str, Any]:
    """Read Edge Pruning's marks; wrong answers are those of the other rows, which `with_others` adds."""
    clean, corrupt = row["clean"], row["corrupted"]
    before, _, rest = clean.partition(PREDICT)
    answer, end, _ = rest.partition(END)
    if not (before.strip() and answer.strip() and end):
        raise ValueError(f"'clean' must have an answer between {PREDICT} and {END}, after a prompt")
    space = " " if before.endswith(" ") or answer.startswith(" ") else ""
    corrupt_before, marked, _ = corrupt.partition(PREDICT)
    return {
        "clean": before.rstrip(" "),
        "corrupt": corrupt_before.rstrip(" ") if marked else corrupt,
        "answers": [f"{space}{answer.strip()}"],
        "wrong_answers": [],
        "first": True,
        "corrupt_is_longer": not marked,
    }


OURS = Form("ours and auto-circuit's", ("clean", "corrupt", "answers", "wrong_answers"), _ours)
MARKED = Form("Edge Pruning's, with <predict>", ("clean", "corrupted"), _marked)
_PROMPTS = ("clean", "corrupted")
_IDS = {
    "IOI": ("correct_idx", "incorrect_idx"),
    "hypernymy": ("answers_idx", "corrupted_answers_idx"),
    "fact retrieval": ("country_idx", "corrupted_country_idx"),
    "gender bias": ("clean_answer_idx", "corrupted_answer_idx"),
}
FORMS = (
    OURS,
    *(Form(f"EAP-IG's {task}", (*_PROMPTS, *names), _ids_in(*names)) for task, names in _IDS.items()),
    *(Form("EAP-IG's greater-than", (*_PROMPTS, name), _years_in(name)) for name in ("correct_idx", "label")),
    Form("EAP-IG's subject-verb agreement", (*_PROMPTS, "plural"), _agreement),
)


def form_of(row: Mapping[str, Any]) -> Form:
    """Return the form of a row.

    Raises:
        ValueError: it is none; the message has the nearest one.
    """
    if PREDICT in str(row.get("clean")) and "corrupted" in row:
        return MARKED
    if (form := next((form for form in FORMS if row.keys() >= set(form.fields)), None)) is not None:
        return form
    nearest = min(FORMS, key=lambda form: len(set(form.fields) - row.keys()))
    missing = ", ".join(name for name in nearest.fields if name not in row)
    titles = ", ".join(dict.fromkeys(form.title for form in (*FORMS, MARKED)))
    raise ValueError(
        f"the nearest form is {nearest.title}, of which are missing: {missing}. These are read: {titles}"
    )


def read_pair(line: int, row: Mapping[str, Any]) -> FilePair:
    """Return the pair in a row.

    Raises:
        ValueError: the row has no form that is read, or a field is wrong.
    """
    form = form_of(row)
    prompts = {"clean": form.fields[0], "corrupt": form.fields[1]}
    for name in prompts.values():
        if is_list(row[name]):
            raise ValueError(f"'{name}' is a list, perhaps of token ids: the text of the prompt is needed")
        if not isinstance(row[name], str) or not row[name]:
            raise ValueError(f"'{name}' must be a text that is not empty")
    texts = {name: row[field] for name, field in prompts.items()}
    return FilePair(line, **(texts | form.read(row)))


def with_others(pairs: Sequence[FilePair]) -> list[FilePair]:
    """Return pairs of which those without a wrong answer have the answers of the others as such.

    Raises:
        ValueError: there is no other answer.
    """
    answers = sorted({str(answer) for pair in pairs for answer in pair.answers if not pair.wrong_answers})
    if len(answers) == 1:
        raise ValueError(f"all answers are {answers[0]!r}, and no wrong one is named: use 'wrong_answers'")
    return [
        pair
        if pair.wrong_answers
        else replace(pair, wrong_answers=[answer for answer in answers if answer not in pair.answers])
        for pair in pairs
    ]


def _ids(value: Any) -> list[int]:
    content = json.loads(value) if isinstance(value, str) else value
    ids = content if is_list(content) else [content]
    if {type(token) for token in ids} != {int}:
        raise ValueError(value)
    return ids
