"""The findings of importance: every node ablated alone, and its direct effect on the answer."""

import time

from engine.ablations.constants import constant_replacer
from engine.instruments.importance.nodes import node_importance
from engine.instruments.importance.request import Importance
from engine.progress import Report, part_of
from engine.runs.found import Found
from engine.workbench.ready import CONSTANTS, Workbench
from engine.workbench.shown import with_prompts


def importance(asked: Importance, bench: Workbench, report: Report) -> Found:
    """Measure every node: the loss when it alone is ablated, and its direct effect on the answer."""
    prepared = bench.prepare(asked)
    evaluator, began = prepared.evaluator(asked), time.perf_counter()
    if prepared.trained is None:
        result, tensors = node_importance(evaluator, part_of(report, 2, 99, 100))
        return with_prompts(Found(result, tensors, discovered=began), prepared, evaluator)
    fit = prepared.fit_alone(part_of(report, 2, 80, 100))
    trained = prepared.evaluator(asked, constant_replacer(fit.constants))
    result, tensors = node_importance(trained, part_of(report, 80, 99, 100))
    values = (fit.constants.input, fit.constants.heads, fit.constants.mlps)
    tensors |= {name: value.float().cpu().numpy() for name, value in zip(CONSTANTS, values, strict=True)}
    findings = Found(result, tensors, history=fit.history, discovered=began)
    return with_prompts(findings, prepared, evaluator)
