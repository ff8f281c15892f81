"""Texts that lenses are trained and measured on: the model's own, or those of a file.

Without a file, the model samples its own texts: from its BOS token (or, without one, its end-of-text token,
or token 0) at temperature 1, until it samples its end-of-text or BOS token, or the text has its maximal
length. A file is cut into texts of equal length. There are three kinds of texts: training texts; validation
texts, which select the best parameters; and held-out texts, which are measured. Sampled texts of each kind
have a seed of their own and are independent, so a short text may occur in two kinds. Of a file, the last
tenth is held out, and the tenth before it is for validation.

Only counted positions are trained on and measured: not the first, where BOS stands, and none from the
end-of-text token on.
"""

from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from engine.errors import RequestError
from engine.lenses.settings import LensTraining
from engine.models import Model
from engine.models.tokens import Tokens
from engine.models.transformer import Transformer
from engine.progress import Report, part_of

LENGTH = 64  # tokens of a text at most, as far as the model can read so many
_SHARE = 0.1  # of a file, to choose by, and to hold out
_FEWEST = 10  # texts in a file
_FEWEST_OF_A_KIND = 2
_AT_ONCE = 64  # texts sampled together


@dataclass(frozen=True)
class Texts:
    """Texts and the positions in them that count.

    Attributes:
        tokens: [n, S]; tokens after the end of a text are ignored.
        counted: bool [n, S], the counted positions: those of each text from the second to its last.
    """

    tokens: Tensor
    counted: Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def lengths(self) -> Tensor:
        """Number of counted positions of each text, [n]."""
        return self.counted.sum(1)

    @property
    def positions(self) -> int:
        """Number of counted positions of all texts."""
        return int(self.counted.sum())

    def take(self, rows: Tensor | list[int] | slice) -> "Texts":
        """Return some of the texts, cut to the longest, with the token after its last counted position."""
        tokens, counted = self.tokens[rows], self.counted[rows]
        width = int(counted.sum(1).max()) + 2
        return Texts(tokens[:, :width], counted[:, :width])

    def parts(self, positions: int) -> list["Texts"]:
        """Return all texts in order, in parts of equal size with about `positions` counted positions each."""
        each = max(1, round(positions * len(self) / self.positions))
        return [self.take(slice(i, i + each)) for i in range(0, len(self), each)]

    def by_length(self) -> list[Tensor]:
        """Return tokens [m, s] up to the last counted position, one tensor per length."""
        lengths = self.lengths
        return [self.tokens[lengths == n, : n + 1] for n in np.unique(lengths.cpu().numpy()).tolist()]

    def of_median_length(self) -> Tensor:
        """Return tokens [m, s] of texts with at least the median number of positions, cut to that number."""
        n = int(self.lengths.median())
        return self.tokens[self.lengths >= n, : n + 1]


@dataclass(frozen=True)
class Split:
    """Texts by their use.

    Attributes:
        training: texts that lenses are trained on.
        validation: texts that select the best parameters.
        held_out: texts that lenses are measured on, used for nothing else.
        source: description of the source of the texts.
    """

    training: Texts
    validation: Texts
    held_out: Texts
    source: str


@dataclass(frozen=True)
class Marks:
    """Tokens that texts begin and end with.

    Attributes:
        first: the token that sampled texts begin with.
        ends: the tokens that end a text.
    """

    first: int
    ends: list[int]


def load_texts(model: Model, settings: LensTraining, seed: int, report: Report) -> Split:
    """Return the texts that the settings ask for; `settings.length` must be filled in.

    Raises:
        RequestError: the file cannot be read or is too short.
    """
    assert settings.length is not None
    wanted = settings.positions, settings.validation, settings.held_out
    if settings.texts is not None:
        rows = torch.tensor(file_rows(model, Path(settings.texts), settings.length), device=model.device)
        n_measured = max(_FEWEST_OF_A_KIND, round(_SHARE * len(rows)))
        most = [max(_FEWEST_OF_A_KIND, ceil(positions / (settings.length - 1))) for positions in wanted]
        parts = torch.split(rows, [len(rows) - 2 * n_measured, n_measured, n_measured])
        training, validation, held_out = (whole_texts(part[:n]) for part, n in zip(parts, most, strict=True))
        return Split(training, validation, held_out, f"the file '{Path(settings.texts).name}'")
    kinds: list[Texts] = []
    for i, positions in enumerate(wanted):
        within = part_of(report, sum(wanted[:i]), sum(wanted[: i + 1]), sum(wanted))
        # No seed of one kind is one of another.
        own = len(wanted) * seed + i
        kinds.append(sample(model.transformer, marks(model), positions, settings.length, own, within))
    training, validation, held_out = kinds
    return Split(training, validation, held_out, "sampled from the model itself")


def marks(tokens: Tokens) -> Marks:
    """Return the tokens that texts of a model begin and end with."""
    kind = tokens.tokenizer
    special = [token for token in (kind.bos_token_id, kind.eos_token_id) if token is not None]
    return Marks(special[0] if special else 0, special)


def whole_texts(tokens: Tensor) -> Texts:
    """Return texts that fill their rows [n, S]: every position but the first is counted."""
    counted = torch.ones_like(tokens, dtype=torch.bool)
    counted[:, 0] = False
    return Texts(tokens, counted)


@torch.no_grad()
def sample(
    transformer: Transformer, marks: Marks, positions: int, length: int, seed: int, report: Report
) -> Texts:
    """Return texts that the model samples at temperature 1, [n, length]; none ends with its first token.

    Args:
        positions: number of counted positions to reach; there are as many texts as this takes, at least two.
        length: largest number of tokens of a text.
    """
    generator, parts = torch.Generator().manual_seed(seed), list[Texts]()
    n = total = 0
    while total < positions or n < _FEWEST_OF_A_KIND:
        of_a_text = total / n if n else length - 1
        at_once = min(_AT_ONCE, max(_FEWEST_OF_A_KIND, ceil((positions - total) / of_a_text)))
        within = part_of(report, min(total, positions), positions, positions)
        parts.append(_sampled(transformer, marks, at_once, length, generator, within))
        n, total = n + at_once, total + parts[-1].positions
    whole = Texts(torch.cat([part.tokens for part in parts]), torch.cat([part.counted for part in parts]))
    n = max(_FEWEST_OF_A_KIND, int((whole.lengths.cumsum(0) < positions).sum()) + 1)
    return Texts(whole.tokens[:n], whole.counted[:n])


def _sampled(
    transformer: Transformer, marks: Marks, n: int, length: int, generator: torch.Generator, report: Report
) -> Texts:
    """Return n sampled texts, [n, length]."""
    device = transformer.embedding.device
    ends = torch.tensor(marks.ends, dtype=torch.long, device=device)
    rows = torch.full((n, 1), marks.first, device=device)
    counted = torch.zeros((n, 1), dtype=torch.bool, device=device)
    going = torch.ones(n, dtype=torch.bool, device=device)
    cache: list[tuple[Tensor, Tensor]] = []
    for position in range(length - 1):
        report(0, 1, "the model samples texts")
        logits = _next_logits(transformer, rows, position, cache).float()
        if position == 0:
            logits[:, ends] = -torch.inf
        drawn = torch.multinomial(logits.softmax(-1).cpu(), 1, generator=generator).to(device)
        rows = torch.cat([rows, drawn], 1)
        going &= ~torch.isin(drawn[:, 0], ends)
        counted = torch.cat([counted, going.unsqueeze(1)], 1)
        if not going.any():
            break
    rest = (0, length - rows.shape[1])
    return Texts(functional.pad(rows, rest, value=marks.first), functional.pad(counted, rest))


def _next_logits(
    transformer: Transformer, rows: Tensor, position: int, cache: list[tuple[Tensor, Tensor]]
) -> Tensor:
    """Return the logits after the last token of rows [B, position + 1], [B, V], and extend the cache."""
    stream = transformer.embed(rows, position)
    for layer in range(transformer.shape.n_layers):
        prefix = cache[layer] if position else None
        heads, _, k, v = transformer.attend_stream(layer, stream, position, prefix)
        cache[layer : layer + 1] = [(k, v)]
        between = stream + transformer.written(layer, heads)
        stream = between + transformer.mlp(layer, stream if transformer.shape.parallel else between)
    return transformer.unembed(stream[:, -1])


def file_rows(tokens: Tokens, path: Path, length: int) -> list[list[int]]:
    """Return the texts of a file as token ids of equal length, each with BOS, else end of text, in front.

    Raises:
        RequestError: the file cannot be read, is no UTF-8, or has too few texts of this length.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"texts '{path}' cannot be read as UTF-8 text: {error}") from error
    front = marks(tokens).ends[:1]
    ids, own = tokens.encode(text), length - len(front)
    rows = [front + ids[i : i + own] for i in range(0, len(ids) - own + 1, own)]
    if len(rows) < _FEWEST:
        raise RequestError(
            f"texts '{path}' make {len(rows)} texts of {length} tokens, at least {_FEWEST} are needed: "
            "take a longer file or a smaller length"
        )
    return rows
