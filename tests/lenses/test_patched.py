"""Lenses of texts with ablated nodes and of circuits, against hooks and against the masked forward."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.ablations.constants import constant_replacer, means, zeros
from engine.experiments import run
from engine.forward.masked import MaskedForward, Replacement
from engine.instruments.discover.request import Discover
from engine.instruments.lens.request import Reading, ReadText
from engine.lenses.base import Place, all_places
from engine.lenses.patched import AblatedNodes, circuit_streams, constants_of
from engine.lenses.streams import read_streams
from engine.models import Model
from engine.progress import silent
from engine.runs.store import RunStore
from tests.lenses.conftest import random_tokens
from tests.reference import open_hooks

NODES = ["a0.h1", "a1.h2", "a1.h3", "m1"]


def constants(model: Model, kind: str) -> Replacement:
    if kind == "zero":
        return zeros(model.transformer)
    return means(model.transformer, [random_tokens(8, seed=3)], "shared")


@pytest.mark.parametrize("kind", ["zero", "mean"])
def test_ablated_nodes_equal_hooks(model: Model, kind: str):
    standing, tokens = constants(model, kind), random_tokens(3)
    ours = read_streams(
        model.transformer, tokens, all_places(model.shape, False), AblatedNodes(NODES, standing)
    )
    bridge, naive = open_hooks(model.bridge), {}

    def ablate_heads(layer: int) -> Any:
        def hook(x: Tensor, hook: Any) -> Tensor:
            x = x.clone()
            for head in range(model.shape.n_heads):
                if f"a{layer}.h{head}" in NODES:
                    block = model.transformer.blocks[layer]
                    x[:, 1:, head] = standing.heads[layer, head, 0, 0] @ block.out[head]
            return x

        return hook

    def ablate_mlp(x: Tensor, hook: Any) -> Tensor:
        x = x.clone()
        x[:, 1:] = standing.mlps[1, 0, 0]
        return x

    def keep(layer: int) -> Any:
        def hook(x: Tensor, hook: Any) -> None:
            naive[layer] = x

        return hook

    hooks: list[Any] = [(f"blocks.{i}.attn.hook_result", ablate_heads(i)) for i in (0, 1)]
    hooks += [("blocks.1.hook_mlp_out", ablate_mlp)]
    hooks += [(f"blocks.{i}.hook_resid_pre", keep(i)) for i in range(model.shape.n_layers)]
    with torch.no_grad():
        logits = bridge.run_with_hooks(tokens, fwd_hooks=hooks)
    for layer in range(model.shape.n_layers):
        assert torch.allclose(ours.at[layer], model.transformer.centre(naive[layer]), atol=2e-4)
    assert torch.allclose(model.transformer.unembed(ours.final), logits, atol=2e-3)


@pytest.mark.parametrize("qkv", ["split", "merged"])
def test_a_circuit_of_all_edges_is_the_model(model: Model, qkv: Any):
    graph, tokens = model.shape.graph(qkv), random_tokens(2)
    places = all_places(model.shape, not model.shape.parallel)
    whole = np.ones(graph.n_edges, dtype=bool)
    streams = circuit_streams(model.transformer, graph, whole, tokens, constants(model, "mean"), places)
    plain = read_streams(model.transformer, tokens, places)
    assert torch.allclose(streams.at, plain.at, atol=1e-4)
    assert torch.allclose(streams.final, plain.final, atol=1e-4)


@pytest.mark.parametrize("qkv", ["split", "merged"])
@pytest.mark.parametrize("kind", ["zero", "mean"])
def test_the_output_of_a_circuit_is_that_of_the_masked_forward(model: Model, kind: str, qkv: Any):
    graph, tokens, standing = model.shape.graph(qkv), random_tokens(2), constants(model, kind)
    kept = np.random.default_rng(0).random(graph.n_edges) < 0.5
    streams = circuit_streams(model.transformer, graph, kept, tokens, standing, [Place(0)])
    ablated = constant_replacer(standing)(tokens, tokens)
    clean = model.transformer.run(tokens, ablated.start)
    mask = torch.from_numpy(kept).float()
    expected = MaskedForward(model.transformer, graph)(clean, ablated.replacement, mask)
    assert torch.allclose(model.transformer.unembed(streams.final[:, -1]), expected, atol=2e-4)


def test_the_observer_sees_what_sources_wrote_and_no_edge_to_the_logits(tiny_model: Model):
    graph, tokens, standing = tiny_model.shape.graph(), random_tokens(2), constants(tiny_model, "mean")
    places = all_places(tiny_model.shape, True)

    def streams(kept: np.ndarray) -> Tensor:
        return circuit_streams(tiny_model.transformer, graph, kept, tokens, standing, places).at

    kept = np.random.default_rng(0).random(graph.n_edges) < 0.7
    silenced = kept & (graph.edges[:, 1] != graph.readers.index("logits"))
    assert torch.equal(streams(kept), streams(silenced))
    late = kept & (graph.edges[:, 1] != graph.readers.index("m1"))
    assert torch.equal(streams(kept)[:4], streams(late)[:4])
    assert not torch.allclose(streams(kept)[4, :, 1:], streams(late)[4, :, 1:])
    assert torch.allclose(streams(kept)[4, :, 0], streams(late)[4, :, 0], atol=1e-5)


def test_means_are_of_sampled_texts(tiny_model: Model):
    first, again = (constants_of(tiny_model, "mean", silent) for _ in range(2))
    assert torch.equal(first.mlps, again.mlps)
    assert first.heads.shape == (3, 4, 1, 1, 6)
    assert not constants_of(tiny_model, "zero", silent).heads.any()


def test_readings_of_ablated_texts_and_circuits(tiny_folder: Path, tmp_path: Path):
    store = RunStore(tmp_path)
    model = str(tiny_folder)

    def kl(**more: Any) -> tuple[np.ndarray, np.ndarray]:
        reading = Reading(text="w1 w2 w3 w4", lenses=["logit"], **more)
        read = store.get(run(ReadText(model=model, lens=reading), silent, store))
        return read.tensors["kl.logit"], read.tensors["top_p.logit"]

    task = tmp_path / "task.jsonl"
    task.write_text('{"clean": "w1 w2", "corrupt": "w1 w3", "answers": [" w4"], "wrong_answers": [" w5"]}\n')
    discovery = Discover(model=model, task=str(task), ablation="zero", method="random", split="train")
    circuit = run(discovery, silent, store)
    edges = store.get(circuit).result.summary.n_edges_total
    whole, whole_p = kl()
    same, same_p = kl(circuit={"run": circuit, "edges": edges})
    assert np.allclose(whole, same, atol=1e-4)
    assert np.allclose(whole_p, same_p, atol=1e-4)
    part, part_p = kl(circuit={"run": circuit, "edges": edges // 2})
    assert (part[-1] == 0).all()
    assert not np.allclose(part_p[-1, 1:], whole_p[-1, 1:], atol=1e-3)
    ablated = [kl(ablated=["a0.h1", "m0"], ablation=kind)[1] for kind in ("zero", "mean")]
    assert not np.allclose(*ablated, atol=1e-4)
    assert np.allclose(ablated[0][0], whole_p[0], atol=1e-5), "the stream before layer 0 is as it was"
