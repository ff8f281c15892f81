"""The findings of a measurement: the metrics of every circuit of its request."""

import time
from typing import Any

import numpy as np

from engine.circuits.circuit import Circuit
from engine.instruments.completion import about
from engine.instruments.measure.request import Measure
from engine.progress import Report, part_of
from engine.runs.combine import chosen_edges
from engine.runs.found import Found
from engine.workbench.evaluation import ends
from engine.workbench.ready import Workbench
from engine.workbench.shown import with_prompts


def measure(asked: Measure, bench: Workbench, report: Report) -> Found:
    """Measure the circuits that the request names."""
    prepared = bench.prepare(asked)
    evaluator = prepared.evaluator(asked, pairs=asked.pairs)
    graph, began = prepared.forward.graph, time.perf_counter()
    points: list[dict[str, Any]] = []
    tops: dict[str, Any] = {}
    for done, chosen in enumerate(asked.circuits):
        report(done, len(asked.circuits), f"measuring {chosen.name}")
        kept = chosen_edges(chosen, graph, bench.store)
        circuit = Circuit(graph, kept, np.full(graph.n_edges, np.nan), about(asked))
        within = part_of(report, done, done + 1, len(asked.circuits), f"{chosen.name}: ")
        point, tops[chosen.name] = evaluator.measure(circuit, within)
        points.append({"name": chosen.name} | point)
    result = {"summary": points[0], **ends(evaluator), "curve": points, "circuit_top": tops}
    return with_prompts(Found(result, discovered=began), prepared, evaluator, patterns=bool(asked.pairs))
