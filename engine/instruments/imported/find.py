"""The findings of an import: circuits of every size by the ranking of a circuit file."""

import time

from engine.circuits.circuit import check_graph, top_edges
from engine.instruments.completion import about
from engine.instruments.imported.request import Import
from engine.progress import Report, part_of
from engine.runs.found import Found
from engine.runs.imports import kept_circuit, ranking
from engine.workbench.evaluation import measured_curve
from engine.workbench.ready import Workbench
from engine.workbench.shown import with_prompts


def imported(asked: Import, bench: Workbench, report: Report) -> Found:
    """Measure an imported circuit at every size that its scores give."""
    assert asked.edges is not None
    prepared = bench.prepare(asked)
    evaluator, began = prepared.evaluator(asked), time.perf_counter()
    circuit = kept_circuit(bench.store, asked.circuit)
    check_graph(circuit, prepared.forward.graph, asked.model)
    scores, k, notes = ranking(circuit, asked.edges)
    described = about(asked) | {"method": circuit.about.get("method")}
    within = part_of(report, 2, 99, 100)
    result = measured_curve(evaluator, scores, asked.sizes, asked.edges, within, described)
    ranked = top_edges(circuit.graph, scores, k, described)
    findings = Found(result, {"scores": scores}, ranked, notes=notes, discovered=began)
    return with_prompts(findings, prepared, evaluator)
