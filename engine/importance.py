"""What each node does: how much is lost when it alone is ablated, and what it writes towards the answer.

Importance is the ablation loss gap of a single component (Li & Janson 2024, 2409.09951, section 2): the KL
from the full model to the model in which everything the node writes is replaced. Nothing before the node
changes, so a pass goes on from there with the stream that the full model had, all heads of a layer at once.

The direct effect is direct logit attribution (Elhage et al. 2021): the logits are linear in what the nodes
write at the last position once the final norm's scale is held at the full model's, so each node's part in an
answer's logit is the product of what it wrote with that answer's direction. The parts of all nodes and of the
biases add up to the logit.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine import metrics
from engine.discovery.base import Report
from engine.evaluation import Evaluator, ends
from engine.forward import Replacement
from engine.models.transformer import Run, Transformer

MOST_ROWS = 512  # prompts in one pass, of all the heads ablated in it


def node_importance(evaluator: Evaluator, report: Report) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what a result says of every node that writes, and per-prompt values.

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


def ablated_alone(transformer: Transformer, clean: Run, other: Replacement) -> Iterator[tuple[int, Tensor]]:
    """Yield what the model says with each source replaced alone: the position of the first of some sources in
    the graph's, and logits [n, B, V]. Gradients flow back to `other`, from each yield apart."""
    with torch.no_grad():
        run = transformer.run(clean.tokens, clean.start)
    start, prefix, parallel = clean.start, run.prefix, transformer.shape.parallel
    yield 0, transformer.finish(run.residual[0] + other.input - run.input, 0, start, prefix).unsqueeze(0)
    position = 1
    for layer, block in enumerate(transformer.blocks):
        after = run.residual[layer + 1]
        for some in torch.arange(transformer.shape.n_heads).split(max(1, MOST_ROWS // len(clean.tokens))):
            changes = torch.matmul(
                other.heads[layer, some] - run.heads[layer][some], block.out[some].unsqueeze(1)
            )
            wide = [(k.repeat(1, len(some), 1, 1), v.repeat(1, len(some), 1, 1)) for k, v in prefix]
            if parallel:  # the MLP does not see the heads beside it
                streams = (after + changes).flatten(0, 1)
            else:
                streams = (after - run.mlps[layer] + changes).flatten(0, 1)
                streams = streams + transformer.mlp(layer, streams)
            logits = transformer.finish(streams, layer + 1, start, wide)
            yield position, logits.unflatten(0, changes.shape[:2])
            position += len(some)
        changed = after + other.mlps[layer] - run.mlps[layer]
        yield position, transformer.finish(changed, layer + 1, start, prefix).unsqueeze(0)
        position += 1


@torch.no_grad()
def direct_effects(evaluator: Evaluator, batch: int) -> np.ndarray:
    """Return every source's part in the mean logit of the answers and of the wrong answers.

    Args:
        batch: which of the evaluator's batches.

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
