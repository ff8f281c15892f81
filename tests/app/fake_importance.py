"""Made-up importance of every node under several ablations of one subject."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from app.requests import defaults
from engine.circuits.graph import Graph
from engine.instruments.importance.request import Importance
from engine.runs.store import RunStore
from tests.app.fake_run import estimate
from tests.made_up import write

PROMPTS = 12
SCALES = {"optimal": 0.3, "mean": 1.0, "counterfactual": 0.8, "zero": 3.0}
HISTORY = {
    "step": [0.0, 20.0, 40.0],
    "validation": [0.6, 0.3, 0.35],
    "best": [0.6, 0.3, 0.29],
    "moved": [0.0, 0.1, 0.2],
}


def fake_kl(graph: Graph, scale: float, seed: int = 0) -> np.ndarray:
    """KL of every source on every prompt, float32; nodes and prompts differ, ablations by about `scale`."""
    rng = np.random.default_rng(0)
    size = np.exp(rng.normal(-4, 2, (len(graph.sources), 1)))
    prompts = np.exp(rng.normal(0, 0.4, (len(graph.sources), PROMPTS)))
    own = np.exp(np.random.default_rng(seed).normal(0, 0.3, (len(graph.sources), 1)))
    return (scale * size * prompts * own).astype(np.float32)


def write_importance(
    store: RunStore,
    ablation: str,
    scale: float | None = None,
    settings: Mapping[str, Any] | None = None,
    graph: Graph | None = None,
    tensors: bool = True,
    **request: Any,
) -> str:
    """Write a run of made-up importance and return its id.

    Args:
        scale: of all its KL; by default that of `SCALES`.
        settings: of the ablation, where they are not the default ones.
        tensors: write KL prompt by prompt.
        request: overrides fields of the request.
    """
    graph = graph or Graph(4, 8)
    fields = {"model": "fake-4l", "task": "ioi", "ablation": ablation}
    fields |= {"ablation_settings": defaults(ablation) | dict(settings or {})}
    asked = Importance.model_validate(fields | request)
    scale = SCALES.get(ablation, 1.0) if scale is None else scale
    kl = fake_kl(graph, scale, seed=sum(map(ord, ablation)))
    conditioning = asked.ablation_settings.get("conditioning", "shared" if ablation == "zero" else "none")
    nodes = {
        node: {
            "kl": {"mean": float(row.mean()), "ci95": [float(row.min()), float(row.max())], "n": PROMPTS},
            **{name: estimate(0.1) for name in ("logit_difference", "answer", "wrong_answer")},
        }
        for node, row in zip(graph.sources, kl, strict=True)
    }
    history = HISTORY if ablation == "optimal" else {}
    given = {"nodes": nodes, "conditioning": conditioning, "history": history}
    return write(store, asked, {"kl": kl} if tensors else None, **given)


def write_subject(store: RunStore, *ablations: str, **request: Any) -> dict[str, str]:
    """Write runs of several ablations with their default settings and return their ids."""
    return {name: write_importance(store, name, **request) for name in ablations or tuple(SCALES)}
