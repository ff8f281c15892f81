"""Imported circuits, which are kept beside the runs for the jobs that measure them.

    <user_dir>/.imports/<sha256>.json     a circuit in the form of circuit.json

The name is the sha256 of the content, which is a field of the import's request: a changed file makes another
request.
"""

import hashlib
import json
import re
from typing import NamedTuple

import numpy as np

from engine.arrays import Numbers
from engine.circuits.circuit import (
    Circuit,
    circuit_from_json,
    circuit_to_json,
    prune_dangling,
    top_edges,
)
from engine.errors import RequestError
from engine.files import write_whole
from engine.runs.store import RunStore

_SHA256 = re.compile(r"[0-9a-f]{64}")


def keep_circuit(store: RunStore, circuit: Circuit, d_model: int) -> str:
    """Keep a circuit for a later import and return its sha256, in hexadecimal.

    Raises:
        RequestError: the user's folder cannot be written to.
    """
    store.check_writable()
    content = json.dumps(circuit_to_json(circuit, d_model, ranking=True), sort_keys=True).encode()
    digest = hashlib.sha256(content).hexdigest()
    folder = store.user_dir / ".imports"
    folder.mkdir(exist_ok=True)
    write_whole(folder / f"{digest}.json", content)
    return digest


def kept_circuit(store: RunStore, digest: str) -> Circuit:
    """Return an imported circuit.

    Raises:
        RequestError: there is none of this sha256, or its content has changed.
    """
    if not _SHA256.fullmatch(digest):
        raise RequestError(f"'{digest[:80]}' is no sha256 of an imported circuit")
    try:
        content = (store.user_dir / ".imports" / f"{digest}.json").read_bytes()
    except OSError as error:
        raise RequestError("the imported circuit is not there any more: import its file again") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise RequestError("the imported circuit was changed since: import its file again")
    return circuit_from_json(json.loads(content))


class Ranking(NamedTuple):
    """Scores [n_edges], the number of highest ones that make the imported circuit, and notes for the user."""

    scores: Numbers
    edges: int
    notes: list[str]


BY_SIZE = "the scores are signed: edges are ranked by the size of their scores"


def ranking(circuit: Circuit, edges: int | None = None) -> Ranking:
    """Return a ranking of edges whose highest ones are the circuit of a file.

    The scores of the file are tried first, then their magnitudes, by which methods with signed scores choose
    edges. If neither ranks the circuit's edges highest, the edges of the circuit get equal scores. In a file
    that marks no edge as kept, the scores are ranked by size if any is negative.

    Args:
        edges: number of edges of the circuit, for a file that marks no edge as kept; others know theirs.

    Raises:
        RequestError: none of the circuit's edges is on a path from the input to the logits; or the file marks
            none, and `edges` is None or there are no scores.
    """
    graph = circuit.graph
    if not circuit.kept.any():
        signed = bool((circuit.scores < 0).any())
        scores = np.abs(circuit.scores) if signed else circuit.scores
        if edges is None:
            raise RequestError("no edge is marked as kept: give the number of edges to keep (--edges N)")
        top_edges(graph, scores, edges)  # complains of a number that cannot be
        return Ranking(scores, edges, [BY_SIZE] * signed)
    alive = prune_dangling(graph, circuit.kept)
    if not alive.any():
        raise RequestError("no path of the circuit's edges leads from the input to the logits")
    for scores, notes in ((circuit.scores, []), (np.abs(circuit.scores), [BY_SIZE])):
        if np.isfinite(lowest := scores[alive].min()):
            highest = scores >= lowest
            if (prune_dangling(graph, highest) == alive).all():
                return Ranking(scores, int(highest.sum()), notes)
    one_size = "the file's scores do not rank the edges of its circuit: it is shown at this one size"
    return Ranking(np.where(alive, 1.0, np.nan), int(alive.sum()), [one_size])
