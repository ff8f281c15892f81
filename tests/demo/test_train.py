"""Training: reproducible, resumable, packed rows equal to single documents, a folder that loads."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine.demo import card, evaluate, train
from engine.demo.corpus import CONTEXT, Rows
from engine.demo.forward import loss_of
from engine.demo.tokenizer import build_tokenizer

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
TINY = train.Recipe(layers=1, heads=2, width=16, steps=100, decay=50, warm_up=10, rows=2)


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_reproducible_and_resumable(tmp_path, capsys):
    whole = train.train(TINY, tmp_path / "whole", CPU)
    again = train.train(TINY, tmp_path / "again", CPU)
    assert equal(whole.model, again.model)
    train.train(TINY, tmp_path / "halves", CPU, blocks=1)
    assert not equal(whole.model, train.new_model(TINY, whole.model.config.vocab_size))
    halves = train.train(TINY, tmp_path / "halves", CPU)
    assert equal(whole.model, halves.model)
    assert halves.seconds > 0
    losses = [float(line.split()[3]) for line in capsys.readouterr().out.splitlines()]
    assert losses[1] < losses[0]
    other_seed = train.train(replace(TINY, seed=1), tmp_path / "seed", CPU)
    assert not equal(whole.model, other_seed.model)


def test_the_decay_may_move_until_it_begins(tmp_path):
    longer = replace(TINY, steps=150)
    train.train(longer, tmp_path / "moved", CPU, blocks=1)
    moved = train.train(TINY, tmp_path / "moved", CPU)
    assert equal(moved.model, train.train(TINY, tmp_path / "direct", CPU).model)
    with pytest.raises(SystemExit, match="another recipe"):
        train.train(longer, tmp_path / "moved", CPU)
    with pytest.raises(SystemExit, match="another recipe"):
        train.train(replace(TINY, width=32), tmp_path / "moved", CPU)


def test_learning_rate():
    rates = [train.rate_at(TINY, step) for step in range(TINY.steps)]
    assert rates[0] == pytest.approx(TINY.rate / TINY.warm_up)
    assert rates[9] == rates[49] == TINY.rate
    assert rates[50:] == sorted(rates[50:], reverse=True)
    assert rates[-1] == pytest.approx(TINY.rate / TINY.decay)


def test_a_packed_row_equals_a_single_document():
    tokenizer = build_tokenizer()
    model = train.new_model(train.Recipe(layers=2, heads=2, width=32), len(tokenizer))
    ids = tokenizer(
        "When Mary and John went to the store, John gave a drink to", return_tensors="pt"
    ).input_ids
    n, start = ids.shape[1] - 1, 20
    here = slice(start, start + n)
    rows = Rows(*(torch.zeros(1, CONTEXT, dtype=torch.long) for _ in range(5)))
    rows.owners[0, :start], rows.owners[0, here] = 1, 2
    rows.ids[0, :start], rows.ids[0, here] = ids[0, 3], ids[0, :-1]
    rows.positions[0, here] = torch.arange(n)
    rows.targets[0, here] = ids[0, 1:]
    rows = replace(rows, weights=(rows.owners == 2).float())
    with torch.no_grad():
        alone = float(model(ids, labels=ids).loss)
        packed = float(loss_of(model, rows))
    assert packed == pytest.approx(alone, abs=1e-5)


def test_the_command_writes_a_folder_with_a_card(tmp_path, monkeypatch):
    monkeypatch.setattr(card, "measure", lambda folder: evaluate.measure(folder, n=20))
    options = {"layers": 1, "heads": 2, "width": 16, "steps": 50, "decay": 20, "warm-up": 10, "rows": 2}
    argv = ["train", "--device", "cpu", "--build", str(tmp_path / "build"), "--out", str(tmp_path / "tiny")]
    for name, value in options.items():
        argv += [f"--{name}", str(value)]
    monkeypatch.setattr("sys.argv", argv)
    train.main()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tiny")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "tiny")
    assert model.dtype == torch.float16
    assert model.config.n_layer == 1
    assert model.float()(tokenizer("The war", return_tensors="pt").input_ids).logits.isfinite().all()
    text = (tmp_path / "tiny" / "README.md").read_text()
    n_parameters = sum(p.numel() for p in model.parameters())
    assert f"{n_parameters:,} parameters" in text
    assert "induction: continuation first" in text
    assert "missed" in text
