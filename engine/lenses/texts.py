"""Texts that lenses are trained and measured on: the model's own, or those of a file.

Without a file the model samples them itself, for every model alike: from its BOS token (or, without one, its
end-of-text token, or token 0) at temperature 1, never that first token again. Texts held out come from
another seed. A file is cut into texts of equal length, of which the last fifth is held out.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from engine.discovery.base import Report
from engine.errors import RequestError
from engine.lenses.settings import LensTraining
from engine.models import Model
from engine.models.tokens import Tokens
from engine.models.transformer import Transformer

LENGTH = 64  # tokens of a text, as far as the model can read so many
_HELD_OUT = 0.2  # share of a file
_FEWEST = 10  # texts in a file
_AT_ONCE = 64  # texts sampled together


@dataclass(frozen=True)
class Texts:
    """Token ids [n, S] each.

    Attributes:
        source: in words, what texts they are.
    """

    training: Tensor
    held_out: Tensor
    source: str


def load_texts(model: Model, settings: LensTraining, seed: int, report: Report) -> Texts:
    """Return the texts that the settings ask for; their length is filled in.

    Raises:
        RequestError: the file cannot be read or is too short.
    """
    assert settings.length is not None
    if settings.texts is not None:
        rows = file_rows(model, Path(settings.texts), settings.length)
        rest = max(1, round(_HELD_OUT * len(rows)))
        parts = rows[:-rest][: settings.rows], rows[-rest:][: settings.held_out]
        training, held_out = (torch.tensor(part, device=model.device) for part in parts)
        return Texts(training, held_out, f"the file '{Path(settings.texts).name}'")
    n, whole = settings.rows, settings.rows + settings.held_out

    def sampled(rows: int, own_seed: int, before: int) -> Tensor:
        def within(done: int, total: int, message: str) -> None:
            report(before + done, whole, message)

        return sample(model.transformer, first_token(model), rows, settings.length or 0, own_seed, within)

    # No seed of training is one of texts held out.
    training, held_out = sampled(n, 2 * seed, 0), sampled(settings.held_out, 2 * seed + 1, n)
    return Texts(training, held_out, "sampled from the model itself")


def first_token(tokens: Tokens) -> int:
    """Return the token that sampled texts begin with."""
    special = _special_token(tokens)
    return 0 if special is None else special


@torch.no_grad()
def sample(transformer: Transformer, first: int, n: int, length: int, seed: int, report: Report) -> Tensor:
    """Return n texts that the model samples at temperature 1, [n, length]; all begin with token `first`."""
    generator, device = torch.Generator().manual_seed(seed), transformer.embedding.device
    found = []
    for done in range(0, n, _AT_ONCE):
        rows = torch.full((min(_AT_ONCE, n - done), 1), first, device=device)
        cache: list[tuple[Tensor, Tensor]] = []
        for position in range(length - 1):
            report(done, n, f"the model samples texts: {done} of {n}")
            logits = _next_logits(transformer, rows, position, cache).float()
            logits[:, first] = -torch.inf
            drawn = torch.multinomial(logits.softmax(-1).cpu(), 1, generator=generator)
            rows = torch.cat([rows, drawn.to(device)], 1)
        found.append(rows)
    return torch.cat(found)


def _next_logits(
    transformer: Transformer, rows: Tensor, position: int, cache: list[tuple[Tensor, Tensor]]
) -> Tensor:
    """Return the logits after the last token of rows [B, position + 1], [B, V]; the cache grows by it."""
    stream = transformer.embed(rows, position)
    for layer in range(transformer.shape.n_layers):
        prefix = cache[layer] if position else None
        heads, _, k, v = transformer.attend_stream(layer, stream, position, prefix)
        cache[layer : layer + 1] = [(k, v)]
        between = stream + transformer.written(layer, heads)
        stream = between + transformer.mlp(layer, stream if transformer.shape.parallel else between)
    return transformer.unembed(stream[:, -1])


def file_rows(tokens: Tokens, path: Path, length: int) -> list[list[int]]:
    """Return the texts of a file, token ids of equal length; they begin with BOS if the model has one.

    Raises:
        RequestError: the file cannot be read, is no UTF-8, or has too few texts of this length.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"texts '{path}' cannot be read as UTF-8 text: {error}") from error
    special = _special_token(tokens)
    front = [] if special is None else [special]
    ids, own = tokens.encode(text), length - len(front)
    rows = [front + ids[i : i + own] for i in range(0, len(ids) - own + 1, own)]
    if len(rows) < _FEWEST:
        raise RequestError(
            f"texts '{path}' make {len(rows)} texts of {length} tokens, at least {_FEWEST} are needed: "
            "take a longer file or a smaller length"
        )
    return rows


def _special_token(tokens: Tokens) -> int | None:
    kind = tokens.tokenizer
    return kind.eos_token_id if kind.bos_token_id is None else kind.bos_token_id
