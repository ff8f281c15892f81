"""Circuits of whole edges against the masked forward, for every family and kind of replacement."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.circuits.graph import Graph, Qkv
from engine.forward.liveness import edge_matrix, liveness, reached
from engine.forward.masked import MaskedForward, Replacement
from engine.forward.sparse import CircuitForward
from engine.models import Model, load_model
from engine.models.transformer import Run
from tests.tiny import FAMILIES, LENGTH, N_WORDS, save_tiny

PROMPTS = 3
SHARES = (0.0, 0.03, 0.1, 0.3, 0.7, 1.0)  # of the edges kept


@pytest.fixture(scope="module")
def model_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    root: Path = tmp_path_factory.mktemp("families")
    return cache(lambda family: load_model(str(save_tiny(FAMILIES[family], root / family)), device="cpu"))


def prompts(model: Model, kind: str, start: int) -> tuple[Run, Replacement]:
    """Return a clean run and what stands in: a run, or constants per position or shared, b = 1."""
    generator = torch.Generator().manual_seed(start)
    clean = torch.randint(1, N_WORDS, (PROMPTS, LENGTH), generator=generator)
    corrupt = clean.clone()
    corrupt[:, max(start, 2)] = torch.randint(1, N_WORDS, (PROMPTS,), generator=generator)
    run = model.transformer.run
    if kind == "run":
        return run(clean, start), Replacement.from_run(run(corrupt, start))
    t, s = model.transformer, LENGTH - start if kind == "per position" else 1
    layers, heads = len(t.blocks), t.shape.n_heads
    sizes = [(1, s, t.shape.d_model), (layers, heads, 1, s, t.shape.d_head), (layers, 1, s, t.shape.d_model)]
    stream, of_heads, of_mlps = (torch.randn(size, generator=generator) for size in sizes)
    return run(clean, start), Replacement(t.centre(stream), of_heads, t.centre(of_mlps))


def circuits(graph: Graph) -> list[np.ndarray]:
    """Return circuits of many sizes, one of them with all but a few edges into a few readers."""
    generator = np.random.default_rng(0)
    drawn = [generator.random(graph.n_edges) < share for share in SHARES]
    narrow = np.isin(graph.edges[:, 1], generator.integers(0, len(graph.readers), 4))
    return [*drawn, narrow | (graph.edges[:, 1] == len(graph.readers) - 1)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("qkv", ["split", "merged"])
@pytest.mark.parametrize("kind", ["run", "per position", "shared"])
def test_a_circuit_is_the_masked_forward_with_its_edges(
    model_of: Callable[[str], Model], family: str, qkv: Qkv, kind: str
) -> None:
    model = model_of(family)
    graph = model.shape.graph(qkv)
    forward = MaskedForward(model.transformer, graph)
    circuit = CircuitForward(forward)
    for start in (0, 2, LENGTH - 1):
        clean, replacement = prompts(model, kind, start)
        for kept in circuits(graph):
            expected = forward(clean, replacement, torch.from_numpy(kept).float())
            found = circuit(clean.without_sources(), replacement, kept)
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)


def test_the_last_position_alone_is_computed_where_no_other_counts(tiny_model: Model) -> None:
    """A spy sees how many positions every MLP is given; no edge into a key or a value is kept."""
    graph = tiny_model.shape.graph()
    forward = MaskedForward(tiny_model.transformer, graph)
    clean, replacement = prompts(tiny_model, "run", 2)
    seen: list[tuple[int, int]] = []

    class Spy:
        def __getattr__(self, name: str) -> object:
            return getattr(tiny_model.transformer, name)

        def mlp(self, layer: int, stream: torch.Tensor) -> torch.Tensor:
            seen.append((layer, stream.shape[-2]))
            return tiny_model.transformer.mlp(layer, stream)

    watched = CircuitForward(forward)
    forward.transformer = Spy()  # pyright: ignore[reportAttributeAccessIssue]
    kept = graph.indices(
        ["m0->a1.h0<k>", "input->m0", "a1.h0->m2", "m1->m2", "m2->logits", "input->a2.h1<v>"]
    )
    mask = np.isin(np.arange(graph.n_edges), kept)
    found = watched(clean, replacement, mask)
    assert seen == [(0, LENGTH - 2), (1, 1), (2, 1)]
    forward.transformer = tiny_model.transformer
    expected = forward(clean, replacement, torch.from_numpy(mask).float())
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("qkv", ["split", "merged"])
@pytest.mark.parametrize("parallel", [False, True])
def test_what_is_live_and_reached_by_its_definition(qkv: Qkv, parallel: bool) -> None:
    graph = Graph(3, 2, qkv, parallel)
    generator = np.random.default_rng(1)
    for share in (0.05, 0.1, 0.2, 0.5):
        kept = generator.random(graph.n_edges) < share
        found = liveness(graph, edge_matrix(graph, kept))
        circuit = graph.to_networkx(kept)
        sources = [name for name in graph.sources if circuit.has_node(name)]
        backwards: set[str] = {"logits"}
        if circuit.has_node("logits"):
            import networkx as nx

            backwards |= nx.ancestors(circuit, "logits")
            live_only = circuit.subgraph(backwards)
            changed = np.zeros(len(graph.sources), dtype=bool)
            changed[0] = True
            forwards = nx.descendants(live_only, "input") | {"input"} if "input" in backwards else set()
            after = reached(graph, found, changed)
            assert {name for name, hit in zip(graph.sources, after, strict=True) if hit} == forwards - {
                "logits"
            }
        live = {name for name, hit in zip(graph.sources, found.live, strict=True) if hit}
        assert live == backwards & set(sources)
        assert not (found.everywhere & ~found.live).any()
