"""Predictions of lenses on one text, and distances, at every place and position.

The rows are the places in order and, last, the model's own output, where all lenses agree.
"""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from engine.lenses.shapes import TOP
from engine.models.transformer import Transformer
from engine.progress import Report

_ELEMENTS = 2**26  # log-probabilities at once, or numbers in the MLPs that a lens runs

Arrays = dict[str, np.ndarray]


def stride(rows: list[str], every: int) -> list[int]:
    """Return the indices of the rows of every `every` layers, and always of the last row.

    Args:
        rows: names of rows, "0", "0-mid", "1" and so on; the last is the model's output.
    """
    layers = [int(row.removesuffix("-mid")) for row in rows[:-1]]
    return [*(i for i, layer in enumerate(layers) if layer % every == 0), len(rows) - 1]


@torch.no_grad()
def read(
    transformer: Transformer,
    names: list[str],
    finals: Callable[[slice], Tensor],
    n_places: int,
    output: Tensor,
    tokens: list[int],
    raced: list[int],
    report: Report,
) -> Arrays:
    """Return predictions of lenses on a text of S tokens, and distances.

    Args:
        names: names of the n lenses.
        finals: returns the final streams of all lenses at some positions, [n, P, positions, D].
        n_places: P.
        output: the model's final stream, [S, D].
        tokens: tokens of the text.
        raced: tokens whose probabilities are followed.

    Returns:
        For every lens, [P + 1, S] each: "kl.<lens>" (KL(model ‖ lens), nats), "entropy.<lens>" (nats),
        "rank.<lens>" of the model's top token, from 1 on, "next_rank.<lens>" of the next token (0 at the
        last position) and its "cross_entropy.<lens>" (nan there); "top_ids.<lens>" and "top_p.<lens>"
        [P + 1, S, 10], best first; "raced.<lens>" [P + 1, S, n_raced]. Between a row and the next, [P, S]:
        "step_kl.<lens>" (KL(next row ‖ row)) and "step_js.<lens>". Between lenses, [n, n, P + 1, S] in the
        order of `names`: "lens_kl" (KL(first ‖ second)) and "lens_js".
    """
    logits = len(transformer.unembedding) * (3 * len(names) + 2)
    streams = n_places * (transformer.blocks[0].w_in.shape[1] + len(names) * transformer.shape.d_model)
    at_once = max(1, _ELEMENTS // max(logits, streams))
    nexts = torch.tensor([*tokens[1:], 0], device=output.device)
    ids = torch.tensor(raced, dtype=torch.long, device=output.device)
    parts: list[dict[str, list[Tensor]]] = []
    for first in range(0, len(tokens), at_once):
        here = slice(first, first + at_once)
        model, stack = transformer.unembed(output[here]).float().log_softmax(-1), finals(here)
        rows: dict[str, list[Tensor]] = {}
        before = None
        for i in range(n_places + 1):
            report(first * n_places + i * at_once, len(tokens) * n_places, "reading")
            if i < n_places:
                log_q = transformer.unembed(stack[:, i]).float().log_softmax(-1)
            else:
                log_q = model.expand(len(names), -1, -1)
            values = _row(log_q, model, nexts[here], ids) | _between(log_q)
            if before is not None:
                values |= {"step_kl": _kl(log_q, before), "step_js": _js(log_q, before)}
            before = log_q
            for key, value in values.items():
                rows.setdefault(key, []).append(value)
        parts.append(rows)
    return _named(parts, names)


def _named(parts: list[dict[str, list[Tensor]]], names: list[str]) -> Arrays:
    """Return arrays by name from parts of positions, each a list over rows of [n, positions, …]."""
    arrays: Arrays = {}
    for key in parts[0]:
        between = key.startswith("lens_")
        # Rows before positions, and behind the lenses.
        whole = torch.cat(
            [torch.stack(part[key], 2 if between else 1) for part in parts], 3 if between else 2
        )
        array = whole.cpu().numpy()
        array = array.astype(np.int32 if array.dtype.kind == "i" else np.float32)
        if between:
            arrays[key] = array
            continue
        for name, of_lens in zip(names, array, strict=True):
            arrays[f"{key}.{name}"] = of_lens
    for name in names:
        arrays[f"cross_entropy.{name}"][:, -1] = np.nan
        arrays[f"next_rank.{name}"][:, -1] = 0
    return arrays


def _row(log_q: Tensor, model: Tensor, nexts: Tensor, ids: Tensor) -> dict[str, Tensor]:
    """Return predictions and distances at one place, for log-probabilities [n, s, V], the model's [s, V]."""
    best = model.argmax(-1).expand(log_q.shape[:-1]).unsqueeze(-1)
    following = nexts.expand(log_q.shape[:-1]).unsqueeze(-1)
    top = log_q.topk(TOP)
    of_best, of_next = log_q.gather(-1, best), log_q.gather(-1, following)
    return {
        "kl": _kl(model, log_q),
        "entropy": -(log_q.exp() * log_q).sum(-1),
        "rank": (log_q > of_best).sum(-1) + 1,
        "next_rank": (log_q > of_next).sum(-1) + 1,
        "cross_entropy": -of_next.squeeze(-1),
        "top_ids": top.indices,
        "top_p": top.values.exp(),
        "raced": log_q[..., ids].exp(),
    }


def _between(log_q: Tensor) -> dict[str, Tensor]:
    """Return KL and JS between each pair of lenses, [n, n, s]."""
    n = len(log_q)
    kl, js = (log_q.new_zeros((n, n, log_q.shape[1])) for _ in range(2))
    for a, b in combinations(range(n), 2):
        kl[a, b], kl[b, a] = _kl(log_q[a], log_q[b]), _kl(log_q[b], log_q[a])
        js[a, b] = js[b, a] = _js(log_q[a], log_q[b])
    return {"lens_kl": kl, "lens_js": js}


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Return KL(p ‖ q) in nats; rounding never makes it negative."""
    return (log_p.exp() * (log_p - log_q)).sum(-1).clamp_min(0)


def _js(log_p: Tensor, log_q: Tensor) -> Tensor:
    middle = torch.logaddexp(log_p, log_q) - float(np.log(2))
    return (_kl(log_p, middle) + _kl(log_q, middle)) / 2
