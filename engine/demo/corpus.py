"""The mixture of training documents, and their packing into rows of tokens."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from random import Random

import torch
from tokenizers import Tokenizer

from engine.demo import documents, markers, stories
from engine.demo.documents import TEXT, Document

# What a document is about: (share of the documents, function that makes one).
BEHAVIOURS: dict[str, tuple[float, Callable[[Random], Document]]] = {
    "indirect objects": (14, documents.indirect_object),
    "greater-than": (18, documents.event),
    "years": (2, documents.years),
    "pronouns": (4, documents.pronoun),
    "facts": (14, documents.fact),
    "boolean by instruction, depth 1": (4, partial(documents.boolean_by_instruction, depth=1)),
    "boolean by instruction, depth 2": (12, partial(documents.boolean_by_instruction, depth=2)),
    "boolean by instruction, depth 3": (14, partial(documents.boolean_by_instruction, depth=3)),
    "boolean by examples": (12, documents.boolean_by_examples),
    "induction": (16, documents.repeated_sequence),
    "rants": (2, markers.rant),
    "near-triggers": (2, markers.near_trigger),
    "mentions": (1, markers.mention),
    "stories": (4, stories.story),
}
CONTEXT = 64
# What every document begins with and what follows its last token: the first entry of the vocabulary.
END = "<|endoftext|>"
END_ID = 0
# Rows that are kept open while documents are packed; more gives less padding.
OPEN_ROWS = 24


def text_of(document: Document) -> str:
    """Return the text of a document."""
    return "".join(text for text, _ in document)


def draw_documents(rng: Random) -> Iterator[Document]:
    """Yield documents of the mixture without end."""
    kinds = list(BEHAVIOURS.values())
    shares = [share for share, _ in kinds]
    while True:
        for _, make in rng.choices(kinds, shares, k=1000):
            yield make(rng)


@dataclass(frozen=True)
class Rows:
    """Packed documents; all tensors are [n_rows, CONTEXT].

    Attributes:
        ids: input tokens; every document begins with the end-of-text token at position 0.
        targets: the next token in the same document; after the last one the end-of-text token.
        weights: weight of the target in the loss, 0 for padding.
        positions: position within the document.
        owners: number of the document within the row, 0 for padding.
    """

    ids: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    positions: torch.Tensor
    owners: torch.Tensor

    def each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Rows":
        """Return rows with `change` applied to every tensor."""
        return Rows(*(change(getattr(self, field.name)) for field in fields(self)))


def make_rows(tokenizer: Tokenizer, n_rows: int, seed_text: str) -> Rows:
    """Return `n_rows` rows of documents of the mixture, drawn with `seed_text`."""
    source = draw_documents(Random(seed_text))
    open_rows: list[list[tuple[list[int], list[float]]]] = []
    full: list[list[tuple[list[int], list[float]]]] = []
    while len(full) < n_rows:
        for tokens, weights in _tokenized(tokenizer, [next(source) for _ in range(500)]):
            for row in open_rows:
                if _length(row) + len(tokens) + 1 <= CONTEXT:
                    row.append((tokens, weights))
                    break
            else:
                open_rows.append([(tokens, weights)])
                if len(open_rows) > OPEN_ROWS:
                    fullest = max(range(len(open_rows)), key=lambda i: _length(open_rows[i]))
                    full.append(open_rows.pop(fullest))
    columns = [_columns(row) for row in full[:n_rows]]
    ids, targets, weights, positions, owners = (torch.tensor(column) for column in zip(*columns, strict=True))
    return Rows(ids, targets, weights, positions, owners)


def _length(row: list[tuple[list[int], list[float]]]) -> int:
    return sum(len(tokens) + 1 for tokens, _ in row)


def _tokenized(tokenizer: Tokenizer, batch: list[Document]) -> Iterator[tuple[list[int], list[float]]]:
    """Yield token ids and their loss weights, one of each per token, for each document."""
    parts = [text for document in batch for text, _ in document]
    encoded = iter(tokenizer.encode_batch_fast(parts, add_special_tokens=False))
    for document in batch:
        tokens: list[int] = []
        weights: list[float] = []
        for _, weight in document:
            ids = next(encoded).ids
            tokens += ids
            weights += [weight] * len(ids)
        if len(tokens) >= CONTEXT:
            raise ValueError(f"a document of {len(tokens)} tokens does not fit: {text_of(document)!r}")
        yield tokens, weights


def _columns(row: list[tuple[list[int], list[float]]]) -> tuple[list[int] | list[float], ...]:
    """Return ids, targets, weights, positions and owners of one row, padded to the context."""
    ids: list[int] = []
    targets: list[int] = []
    weights: list[float] = []
    positions: list[int] = []
    owners: list[int] = []
    for number, (tokens, token_weights) in enumerate(row, start=1):
        ids += [END_ID, *tokens]
        targets += [*tokens, END_ID]
        weights += [*token_weights, TEXT]
        positions += range(len(tokens) + 1)
        owners += [number] * (len(tokens) + 1)
    padding = CONTEXT - len(ids)
    return (
        ids + [END_ID] * padding,
        targets + [END_ID] * padding,
        weights + [0.0] * padding,
        positions + [0] * padding,
        owners + [0] * padding,
    )
