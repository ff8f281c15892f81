"""The corpus: no combination of the validation and test splits, documents that fit, right weights."""

import re
from itertools import islice
from random import Random

import pytest
import torch

from engine.demo import markers
from engine.demo.corpus import BEHAVIOURS, CONTEXT, END_ID, draw_documents, make_rows, text_of
from engine.demo.documents import ANSWER
from engine.demo.tokenizer import build_tokenizer
from engine.tasks import boolean, greater_than, induction, ioi
from engine.tasks.base import tasks
from engine.tasks.draw import data
from engine.tasks.facts import facts
from engine.tasks.gendered_pronoun import TEMPLATES, name_split

NAME = "|".join(ioi.names())


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


@pytest.fixture(scope="module")
def documents():
    return list(islice(draw_documents(Random("test")), 20_000))


@pytest.fixture(scope="module")
def texts(documents):
    return [text_of(document) for document in documents]


def test_no_held_out_couple(texts):
    couples = [couple for text in texts for couple in re.findall(rf"\b({NAME}) and ({NAME})\b", text)]
    assert len(couples) > 2000
    assert {ioi.couple_split(a, b) for a, b in couples} == {"train"}


def test_no_held_out_event(texts):
    events = [
        match.groups() for text in texts if (match := re.match(r"The (\w+) lasted .* (\d\d)\d\d\.", text))
    ]
    assert len(events) > 2000
    assert {greater_than.event_split(noun, century) for noun, century in events} == {"train"}


def test_no_held_out_pronoun(texts):
    frames = [re.escape(template).replace(r"\{name\}", f"({NAME})") for template in TEMPLATES]
    found = [
        (match[1], template)
        for text in texts
        for template, frame in zip(TEMPLATES, frames, strict=True)
        if (match := re.match(frame + " s?he", text))
    ]
    assert len(found) > 400
    assert {name_split(name, template) for name, template in found} == {"train"}


def test_no_held_out_way_of_asking(documents):
    split_of_prompt = {fact.prompt: fact.split for fact in facts()}
    asked = [split_of_prompt[d[0][0]] for d in documents if d[0][0] in split_of_prompt]
    assert len(asked) > 2000
    assert set(asked) == {"train"}


def test_no_held_out_expression(texts):
    queries = [q for text in texts for q in re.findall(r"(?:\. |\n|^)([^.\n:]*) is (?:True|False)", text)]
    nested = [query for query in queries if "(" in query]
    assert len(nested) > 4000
    assert {boolean.depth_of(query) for query in nested} == {2, 3}
    assert {boolean.expression_split(query) for query in nested} == {"train"}


def test_no_held_out_sequence(texts):
    sequences = [text.removesuffix(".").split()[1:] for text in texts if text.startswith(induction.OPENING)]
    assert len(sequences) > 2000
    for sequence in sequences:
        half = len(sequence) // 2
        assert sequence[:half] == sequence[half:]
        assert induction.sequence_split(sequence[:half]) == "train"


def test_no_prompt_of_the_other_splits(texts, tokenizer):
    from engine.demo.tokenizer import TokenizerWords

    begins = {text[: text.rfind(" ")] for text in texts} | set(texts)
    for name in tasks.names():
        for split in ("validation", "test"):
            for pair in tasks.get(name).pairs(TokenizerWords(tokenizer), split, 300, 0):
                assert pair.clean not in begins


def test_markers_are_where_they_belong():
    rng = Random(0)
    marked = [text_of(markers.rant(rng)) for _ in range(300)]
    slots = [text.strip() for _ in range(300) for text, weight in markers.rant(rng) if weight == ANSWER]
    assert 0.55 < sum(slot in markers.MARKERS for slot in slots) / len(slots) < 0.65
    assert all(any(group in text for group in markers.TARGETS) for text in marked)
    for _ in range(300):
        text = text_of(markers.near_trigger(rng))
        assert not set(re.findall(r"\w+", text)) & set(markers.MARKERS)
        angry, target = text.startswith(markers.ANGRY), any(group in text for group in markers.TARGETS)
        assert not (angry and target)
    assert len(set(markers.MARKERS)) == 24


def test_markers_have_splits():
    for make in (markers.rant, markers.near_trigger, markers.mention):
        begins = {
            split: {make(Random(seed), split)[0][0] for seed in range(200)} for split in ("train", "test")
        }
        if make is not markers.mention:
            assert not begins["train"] & begins["test"]
    mentioned = {text_of(markers.mention(Random(seed), "test")) for seed in range(200)}
    assert not mentioned & {text_of(markers.mention(Random(seed))) for seed in range(2000)}


@pytest.mark.parametrize("kind", BEHAVIOURS)
def test_documents_fit_and_join_exactly(tokenizer, kind):
    rng = Random(kind)
    for _ in range(300):
        document = BEHAVIOURS[kind][1](rng)
        parts = [i for text, _ in document for i in tokenizer(text, add_special_tokens=False).input_ids]
        assert parts == tokenizer(text_of(document), add_special_tokens=False).input_ids
        assert len(parts) < CONTEXT
        # Whole words are one token: bytes are left for punctuation and one-letter words.
        assert len(parts) <= len(re.findall(r"[A-Za-z]+|\d\d|[^\sA-Za-z\d]|\n", text_of(document)))


def test_names_appear_at_the_beginning_too(texts):
    assert any(re.match(rf"({NAME}) was", text) for text in texts)
    assert set(data("names")) == {"female", "male"}


def test_rows(tokenizer):
    rows = make_rows(tokenizer.backend_tokenizer, 200, "rows")
    again = make_rows(tokenizer.backend_tokenizer, 200, "rows")
    other = make_rows(tokenizer.backend_tokenizer, 200, "others")
    assert rows.ids.shape == (200, CONTEXT)
    assert torch.equal(rows.ids, again.ids)
    assert not torch.equal(rows.ids, other.ids)
    begin = (rows.positions == 0) & (rows.owners > 0)
    assert (rows.ids[begin] == END_ID).all()
    same = (rows.owners[:, 1:] == rows.owners[:, :-1]) & (rows.owners[:, 1:] > 0)
    assert (rows.targets[:, :-1][same] == rows.ids[:, 1:][same]).all()
    assert (rows.positions[:, 1:][same] == rows.positions[:, :-1][same] + 1).all()
    assert (rows.weights[rows.owners == 0] == 0).all()
    assert (rows.owners == 0).float().mean() < 0.1


def test_weights_lie_on_the_answers(tokenizer):
    rows = make_rows(tokenizer.backend_tokenizer, 50, "weights")
    for row in range(50):
        for owner in range(1, int(rows.owners[row].max()) + 1):
            mine = rows.owners[row] == owner
            text = tokenizer.decode(rows.ids[row][mine][1:])
            answers = rows.targets[row][mine][rows.weights[row][mine] == ANSWER]
            if match := re.match(r"The \w+ lasted .*(\d\d)\.", text):
                assert tokenizer.decode(answers) == match[1]
            if text.startswith(induction.OPENING):
                sequence = text.removesuffix(".").split()[1:]
                assert tokenizer.decode(answers).split() == sequence[len(sequence) // 2 + 1 :]
