"""Combined circuits: intersections, unions and differences, and circuits without some edges or nodes.

The case study of Edge Pruning (Bhaskar et al. 2024, section 5) evaluates the intersection and the union of
two circuits as circuits of their own. Removing one edge or node is offered for any circuit.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from engine.arrays import Flags
from engine.circuits.circuit import prune_dangling
from engine.circuits.graph import Graph
from engine.errors import RequestError
from engine.runs.store import RunStore


class Part(BaseModel):
    """A circuit of one size of a finished run, without dangling edges."""

    model_config = ConfigDict(extra="forbid")

    run: str
    edges: int = Field(ge=1)


class Chosen(BaseModel):
    """A combined circuit: `parts` are joined, dangling edges are pruned, then `without` is removed.

    Attributes:
        name: name of its metrics in the result.
        join: of several parts, the edges in all of them, in any of them, or in the first and no other.
        parts: circuits of finished runs; [] stands for the whole model.
        without: edges to remove, and nodes whose outgoing edges to remove; nothing is pruned afterwards.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    join: Literal["intersection", "union", "difference"] = "union"
    parts: list[Part] = []
    without: list[str] = []


def combinations(parts: Sequence[Part]) -> list[Chosen]:
    """Return the combined circuits of a comparison.

    These are the intersection ("in all"), the union ("in any") and, for each part, its circuit (named like
    its run) and the edges that only it has ("only" and the run). Parts are sorted by the ids of their runs,
    so that the same parts make the same request in any order.
    """
    parts = sorted(parts, key=lambda part: part.run)
    circuits = [
        Chosen(name="in all", join="intersection", parts=parts),
        Chosen(name="in any", join="union", parts=parts),
    ]
    for part in parts:
        others = [other for other in parts if other is not part]
        circuits.append(Chosen(name=part.run, parts=[part]))
        circuits.append(Chosen(name=f"only {part.run}", join="difference", parts=[part, *others]))
    return circuits


def chosen_edges(chosen: Chosen, graph: Graph, store: RunStore) -> Flags:
    """Return the edges of a chosen circuit, bool [n_edges].

    Raises:
        RequestError: a part is no run with a circuit, or has another graph; or `without` has an unknown name.
    """
    kept = np.ones(graph.n_edges, dtype=bool)
    if chosen.parts:
        kept = prune_dangling(graph, _joined(chosen, [_part(part, graph, store) for part in chosen.parts]))
    for name in chosen.without:
        if name in graph.sources:
            kept &= graph.edges[:, 0] != graph.sources.index(name)
        else:
            kept[graph.indices([name])] = False
    return kept


def _joined(chosen: Chosen, parts: list[Flags]) -> Flags:
    if chosen.join == "intersection":
        return reduce(np.logical_and, parts)
    if chosen.join == "union":
        return reduce(np.logical_or, parts)
    return reduce(lambda kept, other: kept & ~other, parts)


def _part(part: Part, graph: Graph, store: RunStore) -> Flags:
    circuit = store.get(part.run).circuit_at(part.edges)
    if circuit.graph != graph:
        raise RequestError(f"run '{part.run}' is of another graph than this model's: it cannot be joined")
    return circuit.kept
