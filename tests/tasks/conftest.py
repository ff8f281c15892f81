"""A tokenizer for the tasks: the demo model's, which needs no weights."""

import pytest

from engine.demo.tokenizer import TokenizerWords, build_tokenizer


@pytest.fixture(scope="session")
def words() -> TokenizerWords:
    return TokenizerWords(build_tokenizer())
