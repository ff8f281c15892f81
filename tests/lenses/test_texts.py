"""Texts are sampled as without a cache, and files cut into rows."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from engine.discovery.base import silent
from engine.errors import RequestError
from engine.lenses.settings import LensTraining
from engine.lenses.texts import first_token, load_texts, sample
from engine.models import Model
from engine.models.tokens import Tokens


def test_sampling_with_a_cache_equals_sampling_without(model: Model):
    found = sample(model.transformer, 0, 5, 9, 3, silent)
    generator = torch.Generator().manual_seed(3)
    rows = torch.zeros((5, 1), dtype=torch.long)
    while rows.shape[1] < 9:
        logits = model.transformer.run(rows).logits
        logits[:, 0] = -torch.inf
        rows = torch.cat([rows, torch.multinomial(logits.softmax(-1), 1, generator=generator)], 1)
    assert torch.equal(found, rows)


def test_many_texts_are_sampled_in_parts(tiny_model: Model):
    found = sample(tiny_model.transformer, 0, 70, 6, 0, silent)
    assert found.shape == (70, 6)
    assert bool((found[:, 0] == 0).all())
    assert bool((found[:, 1:] != 0).all()), "the first token does not come again"
    assert len({tuple(row) for row in found.tolist()}) == 70


def test_texts_held_out_are_others(tiny_model: Model):
    settings = LensTraining(rows=20, held_out=10, length=8)
    one, again = (load_texts(tiny_model, settings, 0, silent) for _ in range(2))
    other = load_texts(tiny_model, settings, 1, silent)
    assert torch.equal(one.training, again.training)
    assert torch.equal(one.held_out, again.held_out)
    rows = [{tuple(row) for row in part.tolist()} for part in (one.training, one.held_out, other.training)]
    assert [len(part) for part in rows] == [20, 10, 20]
    assert not rows[0] & rows[1]
    assert not rows[0] & rows[2]
    assert "itself" in one.source


@pytest.mark.parametrize(("bos", "eos", "first"), [(3, 4, 3), (None, 4, 4), (None, None, 0)])
def test_the_first_token(tiny_model: Model, bos: int | None, eos: int | None, first: int):
    kind = SimpleNamespace(bos_token_id=bos, eos_token_id=eos)
    assert first_token(Tokens("", tiny_model.shape, kind)) == first


def test_a_file_is_cut_into_rows_and_its_end_held_out(tiny_model: Model, tmp_path: Path):
    path = tmp_path / "some.txt"
    path.write_text(" ".join(f"w{i % 60}" for i in range(5 * 20 + 3)), encoding="utf-8")
    found = load_texts(tiny_model, LensTraining(texts=str(path), length=6), 0, silent)
    assert found.training.shape == (16, 6)
    assert found.held_out.shape == (4, 6)
    rows = torch.cat([found.training, found.held_out])
    assert bool((rows[:, 0] == 0).all())
    assert rows[:, 1:].flatten().tolist() == [i % 60 + 1 for i in range(100)]
    assert "some.txt" in found.source
    few = load_texts(tiny_model, LensTraining(texts=str(path), length=6, rows=8, held_out=2), 0, silent)
    assert (len(few.training), len(few.held_out)) == (8, 2)


@pytest.mark.parametrize(
    ("content", "says"), [(b"w1 w2 w3", "make 0 texts"), (b"\xff\xfe\x00", "UTF-8"), (None, "UTF-8")]
)
def test_files_that_will_not_do(tiny_model: Model, tmp_path: Path, content: bytes | None, says: str):
    path = tmp_path / "some.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RequestError, match=says):
        load_texts(tiny_model, LensTraining(texts=str(path), length=6), 0, silent)
