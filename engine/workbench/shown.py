"""The first prompts that circuits are measured on, stored in a run for display."""

from typing import Any

import torch

from engine.arrays import Numbers
from engine.runs.found import Found
from engine.workbench.evaluation import SHOWN, Evaluator
from engine.workbench.ready import Prepared

FEW = 0.5  # accuracy of the model below which is noted


def with_prompts(findings: Found, prepared: Prepared, evaluator: Evaluator, patterns: bool = False) -> Found:
    """Return findings extended by the prompts shown, the conditioning and notes on the prompts.

    Args:
        patterns: add the attention patterns of the prompts shown, too.
    """
    prompts, attention = _shown(prepared, evaluator)
    tensors = dict(findings.tensors)
    if patterns:
        tensors |= {f"attention.{i}": pattern for i, pattern in enumerate(attention)}
    result = findings.result | {"prompts": prompts, "conditioning": prepared.conditioning}
    notes = [*prompt_notes(prepared, evaluator), *findings.notes]
    return Found(result, tensors, findings.circuit, findings.history, notes, findings.discovered)


def prompt_notes(prepared: Prepared, evaluator: Evaluator) -> list[str]:
    """Return notes on the prompts trained and measured on, and on a model that answers few of them right."""
    notes = [*prepared.training.notes, *evaluator.prompts.notes, *prepared.notes(evaluator.prompts)]
    notes = list(dict.fromkeys(notes))
    if evaluator.model_accuracy < FEW:
        notes.append(f"{evaluator.model_line}: what its circuit shows is mostly how it errs")
    return notes


def _shown(prepared: Prepared, evaluator: Evaluator) -> tuple[list[dict[str, Any]], list[Numbers]]:
    """Return the first prompts with the model's predictions, and its attention patterns [L, H, S, S]."""
    prompts: list[dict[str, Any]] = []
    patterns: list[Numbers] = []
    names = prepared.model.token_strings
    tops = evaluator.top(evaluator.model_logits)
    for item, top in zip(evaluator.prompts.items[:SHOWN], tops, strict=True):
        tokens = torch.tensor([item.clean_ids], device=prepared.model.device)
        run = prepared.model.transformer.run(tokens, patterns=True)
        patterns.append(torch.stack(run.patterns)[:, :, 0].half().cpu().numpy())
        prompts.append(
            {
                "clean": item.clean,
                "corrupt": item.corrupt,
                "tokens": names(item.clean_ids),
                "corrupt_tokens": names(item.corrupt_ids),
                "answers": names(item.answers),
                "wrong_answers": names(item.wrong_answers),
                "model_top": top,
            }
        )
    return prompts, patterns
