"""Tokenizers as users' models have them: byte-level, with special tokens before and after a text."""

from functools import cache
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from engine.models.shape import ModelShape
from engine.models.tokens import Tokens

CORPUS = (
    "The capital of France is Paris, the capital of Spain is Madrid and the capital of Italy is Rome. "
    "The king said that he and the queen said that she would give 13 00 52 years to the war. "
    "The siege lasted from the year 1352 to the year 1360, the feud from 1642 to 1677. "
    "New York, York, France. "
)
BOS, EOS = "<s>", "</s>"
# name -> whether the tokenizer itself puts a BOS token before a text, and an EOS token after it.
SPECIALS = {"plain": (False, False), "eos": (False, True), "bos": (True, False), "bos-eos": (True, True)}


@cache
def _trained() -> str:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=[BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator([CORPUS] * 4, trainer)
    return core.to_str()


def byte_level(specials: str = "plain") -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer that puts these of `SPECIALS` around a text."""
    core = Tokenizer.from_str(_trained())
    core.decoder = decoders.ByteLevel()
    return with_specials(core, specials)


def with_specials(core: Tokenizer, specials: str, **names: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer that puts special tokens around a text."""
    before, after = SPECIALS[specials]
    ids = [(name, core.token_to_id(name)) for name in (BOS, EOS)]
    core.post_processor = processors.TemplateProcessing(
        single=f"{f'{BOS} ' * before}$A{f' {EOS}' * after}", special_tokens=ids
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token=BOS, eos_token=EOS, **names)


def tokens_with(tokenizer: Any, n_ctx: int = 64) -> Tokens:
    """Return the text side of a model with this tokenizer."""
    shape = ModelShape("gpt2", 2, 2, 2, 8, 4, len(tokenizer), n_ctx, False)
    return Tokens("made-up", shape, tokenizer)
