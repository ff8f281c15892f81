"""Tokenizer and sizes of a model, without its weights."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from engine.errors import RequestError
from engine.models.shape import ModelShape


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
        """Return the token ids of `text` without special tokens."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def prompt_ids(self, text: str, bos: bool | None = None) -> list[int]:
        """Return the token ids of a prompt.

        Args:
            text: the prompt.
            bos: None takes the tokenizer's default; True puts one BOS token in front; False leaves out all
                special tokens.
        """
        if bos is None:
            return self.tokenizer(text)["input_ids"]
        if not bos:
            return self.encode(text)
        if self.tokenizer.bos_token_id is None:
            raise RequestError(f"a BOS token was asked for, but the tokenizer of '{self.id}' has none")
        return [self.tokenizer.bos_token_id, *self.encode(text)]

    def token_id(self, text: str) -> int | None:
        """Return the id of `text` if it is exactly one token where it continues a sentence, else None."""
        return self.continuation_id("a", text) if text.startswith(" ") else self._single(text)

    def continuation_id(self, prompt: str, answer: str) -> int | None:
        """Return the id of `answer` if it adds exactly one token to `prompt` and changes none, else None."""
        added = self.continuation_ids(prompt, answer)
        return added[0] if len(added) == 1 else None

    def continuation_ids(self, prompt: str, text: str) -> list[int]:
        """Return the token ids that `text` adds to `prompt`; [] if it adds none or changes the prompt's."""
        before, after = self.encode(prompt), self.encode(prompt + text)
        return after[len(before) :] if after[: len(before)] == before else []

    def token_strings(self, ids: list[int]) -> list[str]:
        """Return the text of every token, spaces as they are."""
        return [self._token_string(i) for i in ids]

    def _single(self, text: str) -> int | None:
        ids = self.encode(text)
        return ids[0] if len(ids) == 1 else None

    @lru_cache(maxsize=100_000)  # noqa: B019 - models live as long as the process that loaded them
    def _token_string(self, token: int) -> str:
        piece = self.tokenizer.convert_ids_to_tokens(token)
        # Decoding one token alone loses the leading space that sentencepiece vocabularies mark with ▁.
        text = self.tokenizer.decode([token], clean_up_tokenization_spaces=False)
        return " " + text.lstrip() if piece is not None and piece.startswith("▁") else text
