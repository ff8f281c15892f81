"""The loss when each node alone is ablated, and each node's direct effect on the answer.

Importance is the ablation loss gap of a single component (Li & Janson 2024, 2409.09951, section 2): the KL
from the full model to the model in which the node's output is replaced. Nothing before the node changes, so a
pass continues from there with the full model's residual stream, for all heads of a layer at once.

The direct effect is direct logit attribution (Elhage et al. 2021). With the final norm's scale fixed at the
full model's, the logits are linear in the nodes' outputs at the last position. So each node's part in an
answer's logit is the inner product of its output with the answer's direction. The parts of all nodes and of
the biases add up to the logit.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine import metrics
from engine.arrays import Numbers
from engine.forward.alone import ablated_alone
from engine.models.transformer import Transformer
from engine.progress import Report
from engine.workbench.evaluation import Evaluator, ends


def node_importance(evaluator: Evaluator, report: Report) -> tuple[dict[str, Any], dict[str, Numbers]]:
    """Return the summaries of every source for the result, and the per-prompt values.

    Returns:
        {"nodes": {node: {"kl", the task's metric (full model less ablated), "answer", "wrong_answer"
        (direct effects on their mean logits): mean, ci95, n}}, …}; and "kl", "answer", "wrong_answer",
        float32 [n_nodes, n_prompts] in the order of the graph's sources and of the prompts.
    """
    graph, metric = evaluator.forward.graph, evaluator.prompts.metric
    back = np.argsort(evaluator.order)
    parts: list[list[metrics.Values]] = [[] for _ in graph.sources]  # of every node, for every batch
    total = len(graph.sources) * len(evaluator.batches)
    for done, batch in enumerate(evaluator.batches):
        # Logits are large (157 nodes of GPT-2 small: 6 GB for 200 prompts), so none are kept.
        with torch.no_grad():
            for first, some in ablated_alone(evaluator.forward.transformer, batch.clean, batch.replacement):
                report(done * len(graph.sources) + first, total, f"ablating {graph.sources[first]}")
                for i, logits in enumerate(some, first):
                    parts[i].append(evaluator.batch_values(done, logits))
    nodes: dict[str, Any] = {}
    kl = np.empty((len(graph.sources), len(back)), dtype=np.float32)
    effects = np.concatenate([direct_effects(evaluator, i) for i in range(len(evaluator.batches))], axis=1)
    for i, node in enumerate(graph.sources):
        values = metrics.join(parts[i])
        kl[i] = values["kl"][back]
        of_node = {
            "kl": values["kl"],
            metric: evaluator.model[metric] - values[metric],
            "answer": effects[i, :, 0],
            "wrong_answer": effects[i, :, 1],
        }
        nodes[node] = {name: metrics.estimate(value, evaluator.seed) for name, value in of_node.items()}
    arrays = {"kl": kl, "answer": effects[:, back, 0], "wrong_answer": effects[:, back, 1]}
    return {"nodes": nodes, **ends(evaluator)}, arrays


@torch.no_grad()
def direct_effects(evaluator: Evaluator, batch: int) -> Numbers:
    """Return every source's part in the mean logit of the answers and of the wrong answers.

    Args:
        batch: index of one of the evaluator's batches.

    Returns:
        float32 [n_sources, B, 2], in logits.
    """
    transformer, prepared = evaluator.forward.transformer, evaluator.batches[batch]
    tokens = prepared.clean.tokens
    run = transformer.run(tokens, start=tokens.shape[1] - 1)
    written = [run.input[:, 0]]
    for block, heads, mlp in zip(transformer.blocks, run.heads, run.mlps, strict=True):
        written += [*torch.bmm(heads[:, :, 0], block.out), mlp[:, 0]]
    scale = transformer.rms_reciprocal(run.residual[-1][:, 0]).unsqueeze(-1)
    towards = [
        torch.stack([direction(transformer, tokens) for tokens in asked]) * scale
        for asked in (prepared.answers, prepared.wrong_answers)
    ]
    parts = torch.einsum("nbd,abd->nba", torch.stack(written), torch.stack(towards))
    return parts.float().cpu().numpy()


def direction(transformer: Transformer, tokens: list[int]) -> Tensor:
    """Return the direction [D] in the normed stream that raises the mean logit of `tokens`."""
    return transformer.unembedding[tokens].mean(0) * transformer.final_gain
