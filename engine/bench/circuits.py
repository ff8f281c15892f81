"""Benches of circuits: evaluating one circuit, ACDC's tests and its sweep.

The circuit has those 650 of GPT-2 small's 32,491 edges (2 %) that change the logit difference most, by the
gradient at the full mask (EAP), on a random model; nine tenths of the model's heads lead to the logits in it.
"""

from collections.abc import Callable

import numpy as np
import torch

from engine.arrays import Flags, Integers
from engine.discovery.acdc import Search, Settings
from engine.discovery.base import Problem
from engine.discovery.edge_removal import Greedy, Prompts, ReaderTests
from engine.forward.liveness import edge_matrix, liveness
from engine.forward.sparse import CircuitForward
from engine.progress import silent
from engine.settings import parse_settings
from engine.workbench.workload import Bench, Sample, Workload

SHARE = 0.02  # of the edges that are in the circuit
EDGES_TESTED = 10  # by a bench of ACDC's tests, spread over the sweep
READERS_SWEPT, PART = 12, 4  # readers of which the bench of a sweep does one part in so many
REMOVED_BELOW = 5e-3  # of the KL when everything is ablated: the threshold of the sweep


def circuit(work: Workload) -> Flags:
    """Return the circuit of the benches, bool [n_edges]."""
    n_edges, batch = work.forward.graph.n_edges, work.batch
    mask = torch.ones(n_edges, device=work.model.device, requires_grad=True)
    with torch.enable_grad():
        logits = work.forward(batch.clean, batch.replacement, mask)
        tokens = (torch.tensor(ids, device=logits.device) for ids in (batch.answers, batch.wrong_answers))
        answer, wrong = (logits.gather(1, ids) for ids in tokens)
        (gradient,) = torch.autograd.grad((answer - wrong).sum(), mask)
    best = gradient.abs().topk(max(1, round(SHARE * n_edges))).indices.cpu().numpy()
    return np.isin(np.arange(n_edges), best)


def evaluate_circuit(work: Workload) -> Callable[[], object]:
    """Compute the circuit's logits, with the corrupt pass cached."""
    forward, kept, batch = CircuitForward(work.forward), circuit(work), work.batch
    return lambda: forward(batch.clean, batch.replacement, kept)


def acdc_edge_test(work: Workload) -> Callable[[], object]:
    """Test one edge, by itself, in a sweep that ends in the circuit.

    The time is a mean over edges spread evenly over those that the sweep tests, so that readers count by
    their number of edges. The values from which the tests of a reader start are cached.
    """
    sweep = _Sweep(work, circuit(work))
    chosen = np.linspace(0, len(sweep.tested) - 1, 2 * EDGES_TESTED + 1).round().astype(int)[1::2]
    edges = work.forward.graph.edges[sweep.tested[chosen]].tolist()
    tests = [(sweep.tests(reader), source) for source, reader in edges]

    def once() -> None:
        for of_reader, source in tests:
            of_reader.kl([source])

    return Sample(once, 1 / len(tests))


def acdc_sweep(work: Workload) -> Callable[[], object]:
    """Sweep by ACDC over all edges, at a threshold that leaves about a hundred.

    A whole sweep is made once, untimed. Then a sample of it is timed and extrapolated by the number of edges:
    a quarter of the tests and removals of a dozen readers, spread evenly over the sweep, whose nodes lead to
    the logits, and the cached values of every fourth reader. Other readers cost only the check that they are
    dead.
    """
    batch, nothing = work.batch, np.zeros(work.forward.graph.n_edges, dtype=bool)
    ablated = CircuitForward(work.forward)(batch.clean, batch.replacement, nothing).unsqueeze(0)
    total = float(Prompts(work.forward, batch).kl(ablated)[0])
    threshold = REMOVED_BELOW * total / len(batch.answers)
    settings = parse_settings(Settings, {"threshold": threshold})
    search = Search(Problem(work.forward, lambda size: [batch], 1), settings)
    search.run(silent)
    sweep = _Sweep(work, search.kept[0])
    reader_of = work.forward.graph.edges[:, 1]
    readers = np.unique(reader_of[sweep.tested])
    readers = np.unique(readers[np.linspace(0, len(readers) - 1, READERS_SWEPT).round().astype(int)])
    tests = {reader: sweep.tests(reader) for reader in readers.tolist()}
    sources: dict[int, Integers] = {}
    begun: dict[int, float] = {}
    for reader, of_reader in tests.items():
        n = int((reader_of == reader).sum())
        begin = n * (PART // 2) // PART
        sources[reader] = np.arange(begin, min(n, begin + -(-n // PART)))[::-1]
        begun[reader] = float(of_reader.kl(sources[reader][:1].tolist())[0])
    anew = readers[len(readers) // (2 * PART) :: PART].tolist()

    def once() -> None:
        for reader in anew:
            sweep.tests(reader)
        greedy = Greedy()
        for reader, left in sources.items():
            tests[reader].restart()
            greedy.kl = begun[reader]
            while len(left):
                left = left[len(greedy.advance(tests[reader], left, threshold)) :]

    return Sample(once, len(sweep.tested) / sum(map(len, sources.values())))


class _Sweep:
    """A sweep of ACDC that ends in a circuit.

    Attributes:
        tested: the edges that it tests, those into readers of live nodes, in the order of the graph's edges.
    """

    def __init__(self, work: Workload, kept: Flags) -> None:
        graph = work.forward.graph
        self.forward, self.prompts = work.forward, [Prompts(work.forward, work.batch)]
        self.matrix = edge_matrix(graph, kept)
        live = np.append(liveness(graph, self.matrix).live, True)  # the logits are
        self.tested = np.flatnonzero(live[graph.reader_nodes[graph.edges[:, 1]]])

    def tests(self, reader: int) -> ReaderTests:
        """Return the tests of a reader, in the state of the sweep when it gets to this reader."""
        return ReaderTests(self.forward, self.prompts, self.matrix, reader)


BENCHES: dict[str, Bench] = {
    "evaluate-circuit": evaluate_circuit,
    "acdc-edge-test": acdc_edge_test,
    "acdc-sweep": acdc_sweep,
}
