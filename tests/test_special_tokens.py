"""A text has the same figures whatever special tokens the model's tokenizer puts around it."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
from tests.special_tokens import BOS, EOS, SPECIALS, byte_level
from tests.tiny import FAMILIES, save_tiny

PAIRS = [("France", "Spain", " Paris", " Madrid"), ("Italy", "Spain", " Rome", " Madrid")]


def model_with(specials: str, folder: Path) -> str:
    """Write the tiny model with a tokenizer that puts these special tokens around texts."""
    tokenizer = byte_level(specials)
    config = copy.deepcopy(FAMILIES["gpt2"])
    config.vocab_size = len(tokenizer)
    save_tiny(config, folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def task(folder: Path, before: str = "", after: str = "") -> str:
    """Write a task whose prompts have special tokens written out."""
    rows = [
        {
            "clean": f"{before}The capital of {clean} is{after}",
            "corrupt": f"{before}The capital of {corrupt} is{after}",
            "answers": [answer],
            "wrong_answers": [wrong],
        }
        for clean, corrupt, answer, wrong in PAIRS
    ]
    path = folder / "capitals.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def figures(specials: str, folder: Path, before: str, after: str, bos: bool | None) -> dict[str, Any]:
    """Return the figures of a discovery and of a trace."""
    folder.mkdir()
    model, runs = model_with(specials, folder / "model"), folder / "runs"
    about: dict[str, Any] = {"bos": bos, "runs_dir": runs}
    found = engine.discover(model, task(folder, before, after), "eap", "counterfactual", edges=40, **about)
    prompt = f"{before}{'The capital of France is'}{after}"
    traced = engine.trace(model, prompt=prompt, subject="France", answer=" Paris", **about)
    result = traced.run.result
    words = result.traced[0].tokens[slice(*result.traced[0].subject)]
    return {
        "scores": found.run.tensors["scores"],
        "accuracy": found.run.result.model.accuracy.mean,
        "subject": words,
        "effects": traced.run.tensors["effects"],
    }


@pytest.mark.parametrize("bos", [True, False])
def test_figures_are_the_same_with_every_tokenizer(bos: bool, tmp_path: Path):
    plain = figures("plain", tmp_path / "plain", "", "", bos)
    assert "".join(plain["subject"]) == " France"
    for name in SPECIALS:
        for i, (before, after) in enumerate([("", ""), (BOS, ""), ("", EOS)]):
            other = figures(name, tmp_path / f"{name}-{i}", before, after, bos)
            assert other["subject"] == plain["subject"]
            assert other["accuracy"] == plain["accuracy"]
            for array in ("scores", "effects"):
                np.testing.assert_array_equal(other[array], plain[array])


def test_by_default_a_bos_counts_that_the_tokenizer_adds_or_the_text_has(tmp_path: Path):
    with_bos = figures("bos", tmp_path / "bos", "", "", None)
    for name, before, after in (("bos-eos", "", ""), ("plain", BOS, ""), ("eos", BOS, EOS)):
        other = figures(name, tmp_path / name, before, after, None)
        np.testing.assert_array_equal(other["scores"], with_bos["scores"])
        np.testing.assert_array_equal(other["effects"], with_bos["effects"])
    without = figures("plain", tmp_path / "without", "", "", None)
    assert not np.array_equal(without["scores"], with_bos["scores"])
