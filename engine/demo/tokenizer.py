"""The demo model's tokenizer: whole words in GPT-2's style, bytes for everything else.

Every word of the corpus is one token; with and without a leading space are different tokens. Digits go in
pairs (" 1743" is " 17" and "43"). Unknown text falls back to bytes, so that any text round-trips exactly. The
tokenizer itself puts one `<|endoftext|>` at the beginning.
"""

import re
from random import Random
from typing import Any, cast

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from engine.demo.corpus import BEHAVIOURS, CONTEXT, END, END_ID, text_of
from engine.demo.markers import MARKERS
from engine.tasks import induction, ioi
from engine.tasks.draw import data
from engine.tasks.facts import facts

PIECE = r"'[a-z]+| ?[0-9]{2}| ?[0-9]| ?[A-Za-z]+| ?[^\sA-Za-z0-9']| ?'|\s"
# Enough documents of each kind to meet every template and its words.
SAMPLE = 4000


def vocabulary() -> list[str]:
    """Return the words of the corpus, sorted, each with its leading space where it has one."""
    pieces = {f"{space}{digits}" for space in ("", " ") for digits in _digits()}
    pieces |= {f"{space}{name}" for space in ("", " ") for name in ioi.names()}
    lists = [*induction.sequence_words(), *data("words")["events"], *MARKERS]
    pieces |= {f" {word}" for word in lists}
    texts = [f"{fact.prompt} {fact.answer}" for fact in facts()]
    for name, (_, make) in BEHAVIOURS.items():
        rng = Random(f"vocabulary-{name}")
        texts += [text_of(make(rng)) for _ in range(SAMPLE)]
    for text in texts:
        pieces.update(re.findall(PIECE, text))
    return sorted(pieces)


def _digits() -> list[str]:
    return [str(d) for d in range(10)] + [f"{d:02d}" for d in range(100)]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer, made from the word lists and templates alone."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    symbols = [byte_level.pre_tokenize_str(piece)[0][0] for piece in vocabulary()]
    entries = [END, *sorted(pre_tokenizers.ByteLevel.alphabet()), *symbols]
    vocab = {entry: index for index, entry in enumerate(dict.fromkeys(entries))}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], ignore_merges=True))
    split = pre_tokenizers.Split(Regex(PIECE), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END} $A", pair=f"{END} $A $B", special_tokens=[(END, END_ID)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT,
    )


class TokenizerWords:
    """The protocol `Words` of tasks, for a Hugging Face tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer

    def encode(self, text: str) -> list[int]:
        """Return token ids, without special tokens."""
        return cast("Any", self.tokenizer(text, add_special_tokens=False)).input_ids

    def token_id(self, text: str) -> int | None:
        """Return the id of `text` if it is exactly one token."""
        ids = self.encode(text)
        return ids[0] if len(ids) == 1 else None
