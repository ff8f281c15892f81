"""What each task's prompts mean: the answer is right for the clean prompt and not for the corrupt one."""

import re
from random import Random

import pytest

from engine.tasks import boolean, gendered_pronoun, greater_than, ioi
from engine.tasks.base import tasks
from engine.tasks.draw import data
from engine.tasks.facts import facts

NAME = "|".join(ioi.names())


def test_indirect_objects(words):
    orders = set()
    for pair in tasks.get("ioi").pairs(words, "test", 300, seed=0):
        clean = re.findall(rf"\b({NAME})\b", pair.clean)
        corrupt = re.findall(rf"\b({NAME})\b", pair.corrupt)
        receiver, actor = pair.answers[0].strip(), pair.wrong_answers[0].strip()
        assert sorted(clean[:2]) == sorted((receiver, actor))
        assert clean[2:] == [actor]
        assert len(set(corrupt)) == 3
        assert not set(corrupt) & set(clean)
        orders.add(clean[0] == receiver)
    assert orders == {True, False}


def test_indirect_objects_have_many_templates_and_t1_has_one(words):
    def frames(task):
        lists = data("words")
        places, objects = "|".join(lists["places"]), "|".join(lists["objects"])
        return {
            re.sub(rf"\b({NAME}|{places}|{objects})\b", "_", pair.clean)
            for pair in tasks.get(task).pairs(words, "train", 500, seed=0)
        }

    assert len(frames("ioi")) == len(ioi.TEMPLATES) >= 15
    assert len(frames("ioi-t1")) == 1


def test_greater_than(words):
    form = r"The (\w+) lasted from the year (\d\d)(\d\d) to the year (\d\d)"
    for pair in tasks.get("greater-than").pairs(words, "test", 300, seed=0):
        ((noun, century, start, again),) = re.findall(form, pair.clean)
        assert century == again
        assert re.findall(form, pair.corrupt) == [(noun, century, "01", century)]
        assert 1 < int(start) < 99
        assert [int(year) for year in pair.answers] == list(range(int(start) + 1, 100))
        assert [int(year) for year in pair.wrong_answers] == list(range(int(start) + 1))


def test_greater_than_keeps_only_years_of_two_pieces(words):
    class SomeYearsWhole:
        """The same tokenizer, but years of the eighteenth century are three pieces."""

        token_id = staticmethod(words.token_id)

        def encode(self, text):
            ids = words.encode(text)
            return [*ids, 0] if re.fullmatch(r" 17\d\d", text) else ids

    pairs = tasks.get("greater-than").pairs(SomeYearsWhole(), "train", 200, seed=0)
    assert len(pairs) == 200
    assert not any("year 17" in pair.clean for pair in pairs)


class Pieces:
    """A tokenizer whose tokens are words, and pieces of at most `size` digits, from the left."""

    def __init__(self, size):
        self.pattern = re.compile(rf" ?[^\W\d]+| ?\d{{1,{size}}}| ")

    def encode(self, text):
        return [hash(piece) for piece in self.pattern.findall(text)]

    def token_id(self, text):
        ids = self.encode(text)
        return ids[0] if len(ids) == 1 else None


@pytest.mark.parametrize(
    ("size", "shown", "place", "said"),
    [(1, 2, 2, "the next digit"), (3, 3, 3, "the last digit"), (2, 2, None, None)],
)
def test_greater_than_asks_for_a_digit_where_years_are_split_otherwise(size, shown, place, said):
    """By digits, as in Qwen; by three digits, as in Llama 3; by two, as in the paper."""
    task, words = tasks.get("greater-than"), Pieces(size)
    note = task.note(words)
    assert note is None if said is None else said in note
    pairs = task.pairs(words, "train", 300, seed=0)
    assert len(pairs) == 300
    for pair in pairs:
        (year, end) = re.findall(r"year (\d+)", pair.clean)
        (other, again) = re.findall(r"year (\d+)", pair.corrupt)
        assert end == again == year[:shown]
        assert other == (f"{year[:3]}0" if size == 3 else f"{year[:2]}01")
        assert len(words.encode(pair.clean)) == len(words.encode(pair.corrupt))
        if place is not None:
            digit = int(year[place])
            assert [*map(int, pair.answers)] == list(range(digit + 1, 10))
            # After the next digit of the start a year may be later or not.
            assert [*map(int, pair.wrong_answers)] == list(range(digit + (shown == 3)))


def test_pronouns(words):
    people = data("names")
    gender_of = {name: gender for gender, group in people.items() for name in group}
    assert all(len(group) >= 100 for group in people.values())
    assert len(gender_of) == sum(map(len, people.values()))
    for pair in tasks.get("gendered-pronoun").pairs(words, "test", 300, seed=0):
        (name,) = re.findall(rf"\b({NAME})\b", pair.clean)
        (stranger,) = re.findall(rf"\b({NAME})\b", pair.corrupt)
        assert pair.clean.replace(name, stranger) == pair.corrupt
        assert pair.answers == (gendered_pronoun.PRONOUNS[gender_of[name]],)
        assert pair.wrong_answers == (gendered_pronoun.PRONOUNS[gender_of[stranger]],)


def test_facts(words):
    by_prompt = {fact.prompt: fact for fact in facts()}
    for pair in tasks.get("facts").pairs(words, "test", 300, seed=0):
        clean, corrupt = by_prompt[pair.clean], by_prompt[pair.corrupt]
        assert clean.template == corrupt.template
        assert pair.answers == (f" {clean.answer}",)
        assert pair.wrong_answers == (f" {corrupt.answer}",)


def test_there_are_enough_facts(words):
    relations = data("facts")
    assert len(relations) >= 5
    assert all(len(entry["templates"]) >= 5 for entry in relations.values())
    pairs = {(fact.relation, fact.subject): fact.answer for fact in facts()}
    assert len(pairs) >= 300
    assert {len(words.encode(f" {subject}")) for _, subject in pairs} == {1, 2, 3}
    assert pairs["capital", "France"] == "Paris"
    assert pairs["symbol", "gold"] == "Au"
    # Every subject has one answer in a relation, or the answer would be a coin toss.
    assert len(facts()) == sum(len(relations[relation]["templates"]) for relation, _ in pairs)


@pytest.mark.parametrize(("name", "depths"), [("boolean-instruction", {2, 3}), ("boolean-few-shot", {2})])
def test_boolean_expressions(words, name, depths):
    seen, values = set(), set()
    for pair in tasks.get(name).pairs(words, "test", 300, seed=0):
        clean, corrupt = (
            re.split(r"\. |\n", text)[-1].removesuffix(" is") for text in (pair.clean, pair.corrupt)
        )
        assert pair.clean.removesuffix(f"{clean} is") == pair.corrupt.removesuffix(f"{corrupt} is")
        assert boolean.depth_of(clean) == boolean.depth_of(corrupt)
        assert pair.answers == (f" {eval(clean)}",)
        assert pair.wrong_answers == (f" {eval(corrupt)}",)
        *examples, _ = pair.clean.split("\n")
        assert len(examples) == (3 if name == "boolean-few-shot" else 0)
        for example in examples:
            expression, value = example.rsplit(" is ", 1)
            assert str(eval(expression)) == value
        seen.add(boolean.depth_of(clean))
        values.add(pair.answers)
    assert seen == depths
    assert len(values) == 2


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_expressions_have_the_depth_asked_for(depth):
    rng = Random(0)
    assert {boolean.depth_of(boolean.expression(rng, depth)) for _ in range(200)} == {depth}


def test_induction(words):
    for pair in tasks.get("induction").pairs(words, "test", 300, seed=0):
        clean, corrupt = (text.removeprefix("Repeat: ").split() for text in (pair.clean, pair.corrupt))
        for sequence, answers in ((clean, pair.answers), (corrupt, pair.wrong_answers)):
            place = sequence.index(sequence[-1])
            assert sequence[place + 1] == answers[0].strip()
            assert sequence[: place + 1] == sequence[len(sequence) - place - 1 :]
        assert not set(clean) & set(corrupt)


def test_splits_are_the_same_on_every_machine():
    # Values from the sha256 of the keys: a change would mix training and test combinations.
    assert ioi.couple_split("Mary", "John") == ioi.couple_split("John", "Mary")
    couples = [ioi.couple_split("Mary", name) for name in data("names")["male"][:8]]
    events = [greater_than.event_split("war", century) for century in greater_than.CENTURIES]
    assert couples == ["train", "test", "train", "train", "validation", "train", "test", "validation"]
    assert events == [
        "train",
        "train",
        "train",
        "train",
        "validation",
        "train",
        "train",
        "train",
        "validation",
    ]
