"""The rise of the KL when edges into one reader of a circuit are removed, one after the other.

ACDC sweeps over the readers from the logits back to the first layer. While the sweep is at a reader, all
earlier readers still keep every edge. So the sources of this reader have the outputs of the plain model, and
removing the edge from s subtracts d_s from the reader's input. Only values downstream of the reader's node
change. A test therefore propagates the change from there on, through cached values of one pass of the
circuit. Several edges are tested side by side, each removed on top of the ones before.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.arrays import Flags, Integers, Numbers
from engine.forward.bases import Ablated, Kept
from engine.forward.batch import Batch
from engine.forward.liveness import head_readers, liveness, reached
from engine.forward.masked import MaskedForward, Replacement
from engine.forward.sparse import Differences, Pass
from engine.tensors import dot

MOST_NUMBERS = 2**26  # held by the tests that are made side by side
FIRST_WIDTH = 4  # edges tested side by side at first


class Prompts:
    """A batch of prompts with the outputs of sources in the plain run, and their replacement values."""

    def __init__(self, forward: MaskedForward, batch: Batch) -> None:
        t, self.graph, self.clean = forward.transformer, forward.graph, batch.clean
        run = t.run(batch.clean.tokens, batch.clean.start)
        self.transformer = t
        self.plain = Ablated(t, self.graph, Replacement.from_run(run))
        self.ablated = Ablated(t, self.graph, batch.replacement)
        self.shape = (len(batch.clean.tokens), batch.clean.input.shape[1])  # B, S
        self.logits = batch.clean.logits.float()
        self.log_p = self.logits.log_softmax(-1)

    def difference(self, source: int, last: bool) -> Tensor:
        """Return d_s, a source's plain output less its replacement, [B, S, D] or [B, 1, D]."""
        at = slice(-1, None) if last else slice(None)
        plain, ablated = self.plain.replacement, self.ablated.replacement
        if source == 0:
            return (plain.input - ablated.input)[:, at]
        layer, place = divmod(source - 1, self.graph.n_heads + 1)
        if place == self.graph.n_heads:
            return (plain.mlps[layer] - ablated.mlps[layer])[:, at]
        head = (plain.heads[layer, place] - ablated.heads[layer, place])[:, at]
        return head @ self.transformer.blocks[layer].out[place]

    def kl(self, logits: Tensor) -> Numbers:
        """Return the sum over prompts of KL(full ‖ circuit), float64 [K], for logits [K, B, V].

        The KL is log Σ p exp u - Σ p u for the difference u of the logits, which is accurate also for small
        u.
        """
        p = self.log_p.exp()
        totals: list[Tensor] = []
        for variant in logits:  # one by one they stay in the processor's cache
            u = variant.float() - self.logits
            totals.append(((self.log_p + u).logsumexp(-1) - dot(p, u)).double().sum())
        return torch.stack(totals).cpu().numpy()


class _PlainUpTo:
    """Base values: readers up to `reader` read the plain run's streams, later ones ablated streams."""

    def __init__(self, prompts: Prompts, reader: int) -> None:
        self.plain, self.ablated, self.reader = prompts.plain, prompts.ablated, reader

    def _of(self, reader: int) -> Ablated:
        return self.plain if reader <= self.reader else self.ablated

    def stream(self, reader: int) -> int:
        return self.ablated.stream(reader)

    def read(self, reader: int) -> Tensor:
        return self._of(reader).read(reader)

    def projected(self, layer: int, kind: int, head: int) -> Tensor:
        reader = int(head_readers(self.ablated.graph, layer)[kind, head])
        return self._of(reader).projected(layer, kind, head)

    def heads(self, layer: int, heads: Integers) -> Tensor:
        return self.ablated.heads(layer, heads)

    def mlp(self, layer: int) -> Tensor:
        return self.ablated.mlp(layer)


class ReaderTests:
    """The tests of one reader's edges, in a circuit whose earlier readers keep all their edges.

    Attributes:
        alive: whether a path leads from the reader's node to the logits; if not, its edges change nothing.
        most: largest number of edges tested side by side.
    """

    def __init__(self, forward: MaskedForward, prompts: list[Prompts], matrix: Flags, reader: int) -> None:
        """Compute and cache the circuit's values from this reader on.

        Args:
            forward: the masked forward, for its model, graph and buffers.
            prompts: all prompts.
            matrix: bool [n_readers, n_sources], the edges kept.
            reader: index of the reader; all earlier readers keep every edge.
        """
        self.forward, self.prompts, self.reader = forward, prompts, reader
        graph = forward.graph
        # What the reader loses is one more source, the last column, which it alone reads. The rows of readers
        # up to this one stay empty: they read the plain streams.
        self._own = len(graph.sources)
        kept = np.pad(matrix, ((0, 0), (0, 1)))
        kept[: reader + 1] = False
        kept[reader, self._own] = True
        self._matters = liveness(graph, kept)
        self.alive = bool(self._matters.live[self._own])
        if not self.alive:
            return
        self._last = not self._matters.everywhere[self._own]
        lost = np.zeros(self._own + 1, dtype=bool)
        lost[self._own] = True
        self._changing = reached(graph, self._matters, lost)
        self._compute = self._changing & ~lost
        self._kept = [self._keep(batch) for batch in prompts]
        self.restart()
        self.most = max(1, MOST_NUMBERS // max(self._numbers(batch) for batch in prompts))

    @torch.no_grad()
    def kl(self, sources: list[int]) -> Numbers:
        """Return the mean KL(full ‖ circuit) after each removal, on top of those before, float64 [K].

        Args:
            sources: indices of the sources of the edges to remove, at most `most`.
        """
        t, graph = self.forward.transformer, self.forward.graph
        total = np.zeros(len(sources))
        self._changes = []
        for batch, values, gone in zip(self.prompts, self._kept, self._gone, strict=True):
            change = -torch.stack([batch.difference(source, self._last) for source in sources]).cumsum(0)
            if gone is not None:
                change += gone
            self._changes.append(change)
            differences = Differences(
                self.forward, self._matters, self._changing, (len(sources), *batch.shape)
            )
            differences.put(self._own, change)
            logits = Pass(t, graph, batch.clean, values, differences).logits(self._compute)
            total += batch.kl(logits)
        return total / sum(batch.shape[0] for batch in self.prompts)

    def restart(self) -> None:
        """Undo all removals."""
        self._gone: list[Tensor | None] = [None] * len(self.prompts)
        self._changes: list[Tensor] = []

    def remove(self, n: int) -> None:
        """Remove, permanently, the first `n` of the edges tested last."""
        if n:
            self._gone = [change[n - 1].clone() for change in self._changes]

    @torch.no_grad()
    def _keep(self, prompts: Prompts) -> Kept:
        """Run the circuit from this reader's layer on and return the values from which the tests start."""
        graph, matters = self.forward.graph, self._matters
        compute = self._after() & matters.live
        known = matters.live & ~compute
        known[self._own] = False
        differences = Differences(self.forward, matters, known | compute, (1, *prompts.shape))
        for source in np.flatnonzero(known).tolist():
            differences.put(source, prompts.difference(source, last=not matters.everywhere[source]))
        kept, values = Kept(self._changing), _PlainUpTo(prompts, self.reader)
        Pass(self.forward.transformer, graph, prompts.clean, values, differences, kept).final(compute)
        kept.reads[self.reader] = prompts.plain.read(self.reader)
        return kept

    def _after(self) -> Flags:
        """Return the sources whose nodes have a reader from this one on, bool [n_columns]."""
        node = self.forward.graph.reader_nodes[self.reader :]
        after = np.zeros(self._own + 1, dtype=bool)
        after[node[node < self._own]] = True
        return after

    def _numbers(self, prompts: Prompts) -> int:
        """Return the approximate number of floats that one test on these prompts needs."""
        b, s = prompts.shape
        shape = self.forward.transformer.shape
        wide = int((self._changing & self._matters.everywhere).sum())
        at_work = 8 if wide else 0  # streams read, projections and inner activations
        return b * s * shape.d_model * (wide + at_work) + prompts.log_p.numel()


@dataclass
class Greedy:
    """Removes edges below a threshold, one after the other.

    Attributes:
        kl: mean KL(full ‖ circuit) of the present circuit, in nats.
        width: number of edges tested side by side next; it grows after a success and shrinks after a failure.
    """

    kl: float = 0.0
    width: int = FIRST_WIDTH

    def advance(self, tests: ReaderTests, sources: Integers, threshold: float) -> Numbers:
        """Test some of a reader's edges, the first of `sources`, and remove those below the threshold.

        Returns:
            The rise of the KL by each removal, on top of those before, for the first edges of `sources`, as
            many as were decided. Only the last of these may have been kept.
        """
        tested = sources[: min(self.width, tests.most)]
        values = tests.kl(tested.tolist())
        rises = np.diff(values, prepend=self.kl)
        stays = np.flatnonzero(~(rises < threshold))
        n = int(stays[0]) if len(stays) else len(tested)
        tests.remove(n)
        self.kl = float(values[n - 1]) if n else self.kl
        if len(stays):
            self.width = max(1, self.width // 2)
        elif n == self.width:
            self.width *= 2
        return rises[: n + 1]
