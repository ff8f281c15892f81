"""The findings of an evaluation: a finished run's circuits of every size under another ablation."""

import time
from typing import Any

from engine.circuits.circuit import Circuit, check_graph
from engine.instruments.completion import about, with_scores
from engine.instruments.evaluate.request import Evaluate
from engine.progress import Report, part_of
from engine.runs.found import Found
from engine.runs.request import OfAGraph
from engine.workbench.evaluation import measured_curve
from engine.workbench.memory import memory_errors
from engine.workbench.ready import Workbench, prepare
from engine.workbench.shown import prompt_notes, with_prompts


def evaluate(asked: Evaluate, bench: Workbench, report: Report) -> Found:
    """Measure the circuits of every size of a finished run."""
    assert asked.edges is not None
    prepared = bench.prepare(asked)
    evaluator = prepared.evaluator(asked)
    began, origin = time.perf_counter(), with_scores(bench.store, asked.circuit)
    described = about(asked) | {"method": about(origin.request)["method"]}
    scores, within = origin.tensors["scores"], part_of(report, 2, 99, 100)
    result = measured_curve(evaluator, scores, asked.sizes, asked.edges, within, described)
    return with_prompts(Found(result, discovered=began), prepared, evaluator)


def evaluate_circuit(circuit: Circuit, asked: OfAGraph, report: Report) -> dict[str, Any]:
    """Return the metrics of one circuit, as `circuit-explorer evaluate` prints them.

    Args:
        circuit: any circuit, for instance from a file.
        asked: a request, whose model, task, ablation, split, number of prompts and seed are used.

    Raises:
        RequestError: the circuit's graph is not the model's.
    """
    report(0, 3, f"loading {asked.model}")
    with memory_errors(asked.model) as memory:
        prepared = prepare(asked, {})
        memory.needed = prepared.bytes_needed
        check_graph(circuit, prepared.forward.graph, asked.model)
        report(1, 3, "preparing prompts")
        evaluator = prepared.evaluator(asked)
        report(2, 3, "evaluating")
        measured = evaluator.measure(circuit)[0]
    report(3, 3, "evaluated")
    return measured | {
        "split": asked.split,
        "ablation": asked.ablation,
        "conditioning": prepared.conditioning,
        "notes": prompt_notes(prepared, evaluator),
    }
