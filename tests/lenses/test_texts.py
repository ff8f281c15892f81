"""Texts are sampled as without a cache, and files cut into rows."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from engine.errors import RequestError
from engine.lenses.settings import LensTraining
from engine.lenses.texts import Marks, Texts, load_texts, marks, sample
from engine.models import Model
from engine.models.tokens import Tokens
from engine.progress import silent


def test_sampling_with_a_cache_equals_sampling_without(model: Model):
    texts = sample(model.transformer, Marks(0, []), 40, 9, 3, silent)
    generator = torch.Generator().manual_seed(3)
    rows = torch.zeros((5, 1), dtype=torch.long)
    while rows.shape[1] < 9:
        logits = model.transformer.run(rows).logits
        rows = torch.cat([rows, torch.multinomial(logits.softmax(-1), 1, generator=generator)], 1)
    assert torch.equal(texts.tokens, rows)
    assert texts.lengths.tolist() == [8] * 5


def test_texts_end_where_the_model_ends_them(tiny_model: Model):
    # Frequent ends, so that texts of all lengths come up; the free text is the same up to its end.
    ends = list(range(20, 30))
    texts = sample(tiny_model.transformer, Marks(0, ends), 300, 9, 0, silent)
    assert texts.tokens.shape == (len(texts), 9)
    assert not texts.counted[:, 0].any()
    for tokens, n in zip(texts.tokens.tolist(), texts.lengths.tolist(), strict=True):
        assert not set(tokens[1 : n + 1]) & set(ends)
        assert n == 8 or tokens[n + 1] in ends
    assert texts.counted.equal((torch.arange(9) > 0) & (torch.arange(9) <= texts.lengths.unsqueeze(1)))
    assert {1, 8} < set(texts.lengths.tolist())
    assert 300 <= texts.positions < 308, "no more texts than it takes"


def test_sampling_stops_when_all_texts_have_ended(tiny_model: Model):
    # All tokens end a text but one, which is the first then, as no text is empty.
    ends = [token for token in range(61) if token != 7]
    said: list[str] = []
    texts = sample(
        tiny_model.transformer, Marks(0, ends), 2, 30, 0, lambda done, total, message: said.append(message)
    )
    assert texts.tokens[:, 1].eq(7).all()
    assert texts.tokens.shape == (2, 30)
    assert len(said) < 29


def test_many_texts_are_sampled_in_parts(tiny_model: Model):
    texts = sample(tiny_model.transformer, Marks(0, [0]), 400, 6, 0, silent)
    assert len(texts) > 64
    assert bool((texts.tokens[:, 0] == 0).all())
    assert len({tuple(row) for row in texts.tokens.tolist()}) == len(texts)


def test_parts_and_cuts():
    tokens = torch.arange(24).view(4, 6)
    counted = torch.zeros((4, 6), dtype=torch.bool)
    for row, n in enumerate([1, 5, 3, 3]):
        counted[row, 1 : n + 1] = True
    texts = Texts(tokens, counted)
    assert (len(texts), texts.positions) == (4, 12)
    assert [part.tokens.tolist() for part in texts.parts(6)] == [tokens[:2].tolist(), tokens[2:, :5].tolist()]
    assert [len(part) for part in texts.parts(1)] == [1] * 4
    assert texts.take([0]).tokens.tolist() == [[0, 1, 2]], "with the token that comes next"
    assert [x.tolist() for x in texts.by_length()] == [
        tokens[[0], :2].tolist(),
        tokens[[2, 3], :4].tolist(),
        tokens[[1]].tolist(),
    ]
    assert texts.of_median_length().tolist() == tokens[1:, :4].tolist()


def test_texts_to_choose_by_and_texts_held_out_are_others(tiny_model: Model):
    settings = LensTraining(positions=140, validation=60, held_out=70, length=8)
    one, again = (load_texts(tiny_model, settings, 0, silent) for _ in range(2))
    other = load_texts(tiny_model, settings, 1, silent)
    assert torch.equal(one.training.tokens, again.training.tokens)
    assert torch.equal(one.held_out.tokens, again.held_out.tokens)
    parts = (one.training, one.validation, one.held_out, other.training, other.validation)
    for part, positions in zip(parts, (140, 60, 70, 140, 60), strict=True):
        assert positions <= part.positions < positions + 7
    rows = [{tuple(row) for row in part.tokens.tolist()} for part in parts]
    long = [{row for row in part if 0 not in row[1:5]} for part in rows]
    for i, part in enumerate(long):
        assert len(part) > 5
        assert not any(part & one for one in long[:i])
    assert "itself" in one.source


@pytest.mark.parametrize(
    ("bos", "eos", "expected"),
    [(3, 4, Marks(3, [3, 4])), (None, 4, Marks(4, [4])), (None, None, Marks(0, []))],
)
def test_the_first_token_and_the_last(tiny_model: Model, bos: int | None, eos: int | None, expected: Marks):
    kind = SimpleNamespace(bos_token_id=bos, eos_token_id=eos)
    assert marks(Tokens("", tiny_model.shape, kind)) == expected


def test_a_file_is_cut_into_rows_and_its_end_chooses_and_is_held_out(tiny_model: Model, tmp_path: Path):
    path = tmp_path / "some.txt"
    path.write_text(" ".join(f"w{i % 60}" for i in range(5 * 20 + 3)), encoding="utf-8")
    texts = load_texts(tiny_model, LensTraining(texts=str(path), length=6), 0, silent)
    assert texts.training.tokens.shape == (16, 6)
    assert texts.validation.tokens.shape == (2, 6)
    assert texts.held_out.tokens.shape == (2, 6)
    assert texts.training.lengths.tolist() == [5] * 16
    rows = torch.cat([texts.training.tokens, texts.validation.tokens, texts.held_out.tokens])
    assert bool((rows[:, 0] == 0).all())
    assert rows[:, 1:].flatten().tolist() == [i % 60 + 1 for i in range(100)]
    assert "some.txt" in texts.source
    few = load_texts(
        tiny_model,
        LensTraining(texts=str(path), length=6, positions=40, validation=7, held_out=10),
        0,
        silent,
    )
    assert (len(few.training), len(few.validation), len(few.held_out)) == (8, 2, 2)


@pytest.mark.parametrize(
    ("content", "says"), [(b"w1 w2 w3", "make 0 texts"), (b"\xff\xfe\x00", "UTF-8"), (None, "UTF-8")]
)
def test_files_that_will_not_do(tiny_model: Model, tmp_path: Path, content: bytes | None, says: str):
    path = tmp_path / "some.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RequestError, match=says):
        load_texts(tiny_model, LensTraining(texts=str(path), length=6), 0, silent)
