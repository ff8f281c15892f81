"""Exporters of circuits for other programs.

Formats that need other packages (an HTML page needs plotly) are entry points of the group
`circuit_explorer.exporters`: functions with the same signature, (run, circuit) -> text.
"""

import json
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, cast

import pandas as pd  # pyright: ignore[reportMissingTypeStubs] - it has none

from engine.circuits.circuit import Circuit, circuit_to_json
from engine.errors import unknown_name
from engine.runs.folder import AnyRun

Exporter = Callable[[AnyRun, Circuit], str]


def to_json(run: AnyRun, circuit: Circuit) -> str:
    """Return the edges of the circuit in the form of `circuit.json`, which MIB and EAP-IG read."""
    assert run.circuit is not None
    return json.dumps(circuit_to_json(circuit, run.circuit["model"]["d_model"]), indent=1) + "\n"


def to_graphml(run: AnyRun, circuit: Circuit) -> str:
    """Return the nodes and edges of the circuit as GraphML, for Gephi, yEd and networkx."""
    import networkx as nx  # see engine.circuits.graph

    graph = circuit.graph.to_networkx(circuit.kept, circuit.scores)
    graph.graph.update({key: value for key, value in circuit.about.items() if value is not None})
    return "\n".join(cast("Any", nx).generate_graphml(graph, named_key_ids=True)) + "\n"


def to_csv(run: AnyRun, circuit: Circuit) -> str:
    """Return every edge of the graph with its score: columns edge, score, in_graph."""
    columns = {"edge": circuit.graph.edge_names, "score": circuit.scores, "in_graph": circuit.kept}
    return cast("Any", pd.DataFrame(columns)).to_csv(index=False)


def exporter(name: str) -> Exporter:
    """Return the function that writes a format.

    Raises:
        RequestError: there is no such format.
    """
    builtin: dict[str, Exporter] = {"json": to_json, "graphml": to_graphml, "csv": to_csv}
    others = {entry.name: entry for entry in entry_points(group="circuit_explorer.exporters")}
    if name in builtin:
        return builtin[name]
    if name in others:
        return others[name].load()
    raise unknown_name("format", name, [*builtin, *others])
