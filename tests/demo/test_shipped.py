"""The shipped demo model: what lies in its folder, and that it does what its card says."""

import re

import pytest
import torch
from transformers import AutoConfig, AutoTokenizer

from engine.demo.evaluate import measure
from engine.demo.paths import SHIPPED
from engine.demo.tokenizer import build_tokenizer

# A spot check of few prompts may be so far from the card's value, measured on many.
TOLERANCE = 0.07


def card_values():
    rows = re.findall(r"^\| ([^|]+?) \| ([\d.]+) \|", (SHIPPED / "README.md").read_text(), re.MULTILINE)
    return {behaviour: float(value) for behaviour, value in rows}


def test_the_folder():
    assert {path.name for path in SHIPPED.iterdir()} >= {
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 12_000_000
    config = AutoConfig.from_pretrained(SHIPPED)
    assert (config.model_type, config.n_layer, config.n_head, config.n_embd) == ("gpt2", 4, 8, 256)
    assert config.n_positions >= 64
    assert config.dtype == torch.float16


def test_its_tokenizer_is_the_one_the_corpus_gives():
    assert AutoTokenizer.from_pretrained(SHIPPED).get_vocab() == build_tokenizer().get_vocab()


@pytest.mark.slow
def test_it_does_what_its_card_says():
    promised = card_values()
    measured = {m.behaviour: m for m in measure(SHIPPED, n=60, seed=7)}
    assert promised.keys() == measured.keys()
    for behaviour, m in measured.items():
        assert m.value == pytest.approx(promised[behaviour], abs=TOLERANCE), behaviour
