"""Predictions of lenses on a text as a table."""

from typing import TYPE_CHECKING, Any

from engine.instruments.frames import frame
from engine.instruments.lens.request import ReadText
from engine.instruments.lens.result import ReadTextResult
from engine.runs.folder import Run

if TYPE_CHECKING:
    from engine.instruments.frames import DataFrame


def reading_frame(run: Run[ReadText, ReadTextResult]) -> "DataFrame":
    """Return a row for every lens, place and token: "word", its "probability", "kl" (nats) and "entropy"."""
    result = run.result
    rows: list[dict[str, Any]] = []
    for lens in result.lenses:
        names = ("top_ids", "top_p", "kl", "entropy")
        ids, shares, kl, entropy = (run.tensors[f"{name}.{lens}"] for name in names)
        for i, place in enumerate(result.places):
            for j, token in enumerate(result.tokens):
                word = result.words.get(str(ids[i, j, 0]), f"token {ids[i, j, 0]}")
                numbers = {"probability": shares[i, j, 0], "kl": kl[i, j], "entropy": entropy[i, j]}
                rows.append({"lens": lens, "place": place, "token": token, "word": word} | numbers)
    return frame(rows)
