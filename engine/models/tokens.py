"""Tokenizer and sizes of a model, without its weights."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from engine.errors import RequestError
from engine.models.shape import ModelShape

NO_CHARACTER = "\ufffd"  # what bytes decode to that are no whole character
MOST_PARTS = 8  # tokens that make up a text of whole characters: a character has four bytes at most

PROBED = 1000  # tokens tried as a text that shows what stands before texts


@dataclass(frozen=True, eq=False)
class Tokens:
    """A model's tokenizer and sizes.

    Attributes:
        id: the model's name as given by the user: a shipped name, a folder or a Hugging Face id.
        tokenizer: the model's own Hugging Face tokenizer.
    """

    id: str
    shape: ModelShape
    tokenizer: Any = field(repr=False)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of `text` without special tokens.

        Raises:
            RequestError: the tokenizer has no token for a part of the text; or the model has no embedding for
                a token, so that the tokenizer is not its own.
        """
        try:
            ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        except Exception as error:  # tokenizers raises it, of no kind of its own
            raise RequestError(f"the tokenizer of '{self.id}' cannot read {text[:40]!r}: {error}") from error
        if ids and max(ids) >= self.shape.d_vocab:
            raise RequestError(
                f"the tokenizer of '{self.id}' makes token {max(ids)} of {text[:40]!r}, but the model has "
                f"embeddings of {self.shape.d_vocab} tokens: they do not belong together"
            )
        return ids

    def prompt_ids(self, text: str, bos: bool | None = None) -> list[int]:
        """Return the token ids of a prompt: at most one BOS token in front, and no special token at the end.

        A BOS or EOS token that is written out at an end of the text counts as special, not as text.

        Args:
            text: the prompt.
            bos: None takes the tokenizer's default, or the BOS token that is written out; True puts one BOS
                token in front; False leaves it out.

        Raises:
            RequestError: a BOS token is asked for and there is none, or the text has no token at all.
        """
        bare = self.bare(text)
        ids = self.encode(bare)
        if bare.strip() and not ids:
            raise RequestError(
                f"the tokenizer of '{self.id}' makes no token of {text[:40]!r}: is it the model's?"
            )
        return [*self._front_ids(text, bos), *ids]

    def prompt_offsets(self, text: str, bos: bool | None = None) -> list[tuple[int, int]]:
        """Return begin and end of every token of `prompt_ids` in `bare(text)`; (0, 0) for a BOS token."""
        n = len(self.prompt_ids(text, bos))
        encoded = self.tokenizer(self.bare(text), add_special_tokens=False, return_offsets_mapping=True)
        offsets: list[tuple[int, int]] = [*map(tuple, encoded["offset_mapping"])]
        return [(0, 0)] * (n - len(offsets)) + offsets

    def bare(self, text: str) -> str:
        """Return a text without special tokens that are written out at its ends."""
        names = self.tokenizer
        while names.bos_token and text.startswith(names.bos_token):
            text = text.removeprefix(names.bos_token)
        endings = [name for name in (names.eos_token, names.bos_token, names.pad_token) if name]
        while ending := next(filter(text.endswith, endings), None):
            text = text.removesuffix(ending)
        return text

    def _front_ids(self, text: str, bos: bool | None) -> list[int]:
        """Return the special tokens that stand before a prompt."""
        token: int | None = self.tokenizer.bos_token_id
        if token is None:
            if bos:
                raise RequestError(f"a BOS token was asked for, but the tokenizer of '{self.id}' has none")
            return self._default_front if bos is None else []
        if bos is None:
            return self._default_front or [token] * text.startswith(self.tokenizer.bos_token)
        return [token] * bos

    @cached_property
    def _default_front(self) -> list[int]:
        """The special tokens that the tokenizer puts before a text by default, each once."""
        for text in ("a", *map(self._token_string, range(min(PROBED, self.shape.d_vocab)))):
            try:
                readable = bool(self.encode(text))
            except RequestError:
                continue
            if not readable:
                continue
            encoded = self.tokenizer(text, return_special_tokens_mask=True)
            ids: list[int] = encoded["input_ids"]
            special: list[int] = encoded["special_tokens_mask"]
            if 0 in special:
                return list(dict.fromkeys(ids[: special.index(0)]))
        return []

    def token_id(self, text: str) -> int | None:
        """Return the id of `text` if it is exactly one token where it continues a sentence, else None."""
        return self.continuation_id("a", text) if text.startswith(" ") else self._by_itself(text)

    def continuation_id(self, prompt: str, answer: str) -> int | None:
        """Return the id of `answer` if it adds exactly one token to `prompt` and changes none, else None."""
        added = self.continuation_ids(prompt, answer)
        return added[0] if len(added) == 1 else None

    def continuation_ids(self, prompt: str, text: str) -> list[int]:
        """Return the token ids that `text` adds to `prompt`; [] if it adds none or changes the prompt's."""
        prompt = self.bare(prompt)
        before, after = self.encode(prompt), self.encode(prompt + text)
        return after[len(before) :] if after[: len(before)] == before else []

    def answer_id(self, prompt: str, answer: str) -> int | None:
        """Return the id of an answer: one token that continues the prompt, or one token by itself.

        By itself "00" is a token after "13", though the tokenizer writes "1300" with other tokens. After a
        prompt that ends in a space no answer counts by itself: the tokenizer joins the space with a word.
        """
        token = self.continuation_id(prompt, answer)
        return self._by_itself(answer) if token is None and not self.ends_in_space(prompt) else token

    def answer_hint(self, prompt: str, answer: str, several: bool = False) -> str:
        """Return what would make an answer continue a prompt, as the end of a message; "" if nothing would.

        Args:
            several: whether an answer may be of several tokens.
        """

        def helps(before: str, after: str) -> bool:
            n = len(self.continuation_ids(before, after))
            return n == 1 or (several and n > 1)

        text = self.bare(prompt)
        if self.ends_in_space(text) and helps(text.rstrip(" "), f" {answer.lstrip(' ')}"):
            return "; the prompt ends in a space: drop it, and begin the answer with it"
        spaced = not answer.startswith(" ") and helps(text, f" {answer}")
        return "; should it start with a space?" if spaced else ""

    def ends_in_space(self, prompt: str) -> bool:
        """Return whether a prompt ends in a space, which a tokenizer otherwise puts in front of a word."""
        return self.bare(prompt).endswith(" ")

    def is_space(self, token: int) -> bool:
        """Return whether a token is nothing but spaces."""
        return set(self._token_string(token)) == {" "}

    def token_strings(self, ids: list[int]) -> list[str]:
        """Return the text of every token, spaces as they are.

        Tokens that are parts of a character have the text that they make up, and their place in it: the
        three tokens of 好 are "好 1/3", "好 2/3" and "好 3/3". Parts without the others are shown as bytes.
        """
        return [
            text if n == 1 else f"{text} {i}/{n}" for text, n in self._pieces(ids) for i in range(1, n + 1)
        ]

    def text_of(self, ids: list[int]) -> str:
        """Return the text that tokens make up together, spaces as they are."""
        return "".join(text for text, _ in self._pieces(ids))

    def _pieces(self, ids: list[int]) -> Iterator[tuple[str, int]]:
        """Yield the smallest texts of whole characters that tokens make up, and how many tokens each has."""
        begin = 0
        while begin < len(ids):
            text, n = self._token_string(ids[begin]), 1
            if NO_CHARACTER in text:
                ends = range(begin + 2, min(begin + MOST_PARTS, len(ids)) + 1)
                texts = ((self._decode(ids[begin:end]), end - begin) for end in ends)
                whole = next((piece for piece in texts if NO_CHARACTER not in piece[0]), None)
                text, n = whole or (self._bytes(ids[begin]), 1)
            yield text, n
            begin += n

    def _by_itself(self, text: str) -> int | None:
        """Return the id of the token that is exactly this text, with or without a leading space."""
        ids = self.encode(text)
        # Sentencepiece vocabularies begin a text with a space that is not in it.
        if len(ids) == 1 and self._token_string(ids[0]).startswith(" ") == text.startswith(" "):
            return ids[0]
        token = self.tokenizer.convert_tokens_to_ids(text)
        return token if token is not None and self._token_string(token) == text else None

    def _decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, clean_up_tokenization_spaces=False)

    def _bytes(self, token: int) -> str:
        """Return the bytes of a token of a byte-level vocabulary in hexadecimal."""
        piece: str = self.tokenizer.convert_ids_to_tokens(token)
        if piece.startswith("<0x"):
            return piece
        return "".join(f"<0x{byte_of(character):02X}>" for character in piece)

    @lru_cache(maxsize=100_000)  # noqa: B019 - models live as long as the process that loaded them
    def _token_string(self, token: int) -> str:
        piece = self.tokenizer.convert_ids_to_tokens(token)
        # Decoding one token alone loses the leading space that sentencepiece vocabularies mark with ▁.
        text = self._decode([token])
        return " " + text.lstrip() if piece is not None and piece.startswith("▁") else text


def byte_of(character: str) -> int:
    """Return the byte that a character stands for in a byte-level vocabulary.

    GPT-2's vocabulary (Radford et al. 2019) writes printable bytes of Latin-1 as they are, and the others,
    in their order, as the characters from U+0100 on.
    """
    shown = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    code = ord(character)
    return code if code in shown else [byte for byte in range(0x100) if byte not in shown][code - 0x100]
