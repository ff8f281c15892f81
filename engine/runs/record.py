"""The base class of results, and fields of result.json that pages, the command line and exports read.

Every instrument has a result class of its own (`engine.instruments`), derived from `Record`. Since a run may
come from anywhere, values are checked and never converted; further fields are allowed.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, Strict

from engine.circuits.graph import Graph
from engine.runs.request import Request
from engine.tasks.base import Metric

MOST = 1000  # sizes on a curve, lines of notes, prompts shown; far more than any run has


def _moment(text: str) -> str:
    # As runs are written; other forms of ISO 8601 are not read alike by every library.
    if datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="seconds") != text:
        raise ValueError("a time like 2026-01-31T12:00:00+00:00 is needed")
    return text


Shapes = dict[str, tuple[int, ...]]  # of arrays, by name
Conditioning = Literal["per position", "shared", "none"]
Count = Annotated[int, Field(ge=0)]
Bounds = Annotated[list[FiniteFloat | None], Field(min_length=2, max_length=2)]
# The most probable tokens of one prompt: text and probability, best first.
Top = Annotated[list[Annotated[tuple[str, FiniteFloat], Strict(False)]], Field(min_length=1, max_length=MOST)]
Lines = Annotated[list[str], Field(max_length=MOST)]
Texts = Annotated[list[str], Field(min_length=1)]


class Form(BaseModel):
    """Base class that checks values, converts none, and allows further fields."""

    model_config = ConfigDict(strict=True)


class Estimate(Form):
    """A mean over prompts with its 95 % interval, which a single prompt does not have."""

    mean: FiniteFloat
    ci95: Bounds
    n: Count


class Share(Form):
    """An estimate that is undefined where ablating everything changes nothing."""

    mean: FiniteFloat | None
    ci95: Bounds
    n: Count


class Metrics(Form):
    """Every metric of a circuit, of the model, or of ablating everything."""

    kl: Estimate
    logit_difference: Estimate
    probability_difference: Estimate
    accuracy: Estimate
    agreement: Estimate
    faithfulness: Share

    def metric(self, name: str) -> Estimate | Share:
        """Return a metric by its name; raise KeyError if there is none of that name."""
        if name not in Metrics.model_fields:
            raise KeyError(name)
        return getattr(self, name)


class Measured(Metrics):
    """The metrics of a circuit and its size."""

    n_edges: Count
    n_edges_total: Annotated[int, Field(ge=1)]
    sparsity: FiniteFloat


class Point(Measured):
    """A point of a curve: the circuit of `edges_requested` edges, including dangling ones."""

    edges_requested: Annotated[int, Field(ge=1)]


class Prompt(Form):
    """A prompt that is shown, with the model's predictions."""

    clean: str
    corrupt: str
    tokens: Texts
    corrupt_tokens: Texts
    answers: Texts
    wrong_answers: Texts
    model_top: Top


class Timings(Form):
    """Durations in seconds."""

    seconds: FiniteFloat
    discovery_seconds: FiniteFloat
    evaluation_seconds: FiniteFloat


class Record(Form):
    """Base class of results.

    Attributes:
        integers: beginnings of the names of arrays that hold whole numbers; all others hold floats.
    """

    integers: ClassVar[tuple[str, ...]] = ()

    created: Annotated[str, AfterValidator(_moment)]
    timings: Timings
    versions: dict[str, str]
    device: str
    dtype: str
    notes: Lines

    def misfit(self, request: Any) -> str | None:
        """Return the first inconsistency in this result or with its request, in words; None without any."""
        return None

    def circuit(self) -> Measured | None:
        """Return the metrics of the requested circuit; None for a result without one."""
        return None

    def arrays(self, request: Any, shapes: Shapes, graph: Graph | None) -> Shapes:
        """Return the expected shapes of the arrays that pages read.

        Args:
            request: the run's request.
            shapes: the actual shapes of the arrays.
            graph: the graph of a run that has a graph of its own.

        Raises:
            FaultError: an array is missing that determines the shapes of others.
        """
        return {}


class MeasuredResult(Record):
    """Base class of results that are measured on prompts, of which the first are stored for display."""

    model: Metrics
    ablated: Metrics
    metric: Metric
    prompts: Annotated[list[Prompt], Field(min_length=1, max_length=MOST)]
    history: dict[str, list[FiniteFloat]]
    conditioning: Conditioning

    def arrays(self, request: Request, shapes: Shapes, graph: Graph | None) -> Shapes:
        """Return the shapes of the scores, and of the attention patterns that there are."""
        expected: Shapes = {} if graph is None else {"scores": (graph.n_edges,)}
        for i, prompt in enumerate(self.prompts):
            name, length = f"attention.{i}", len(prompt.tokens)
            if (shape := shapes.get(name)) is not None:
                heads = shape[:2] if graph is None else (graph.n_layers, graph.n_heads)
                expected[name] = (*heads, length, length)
        return expected


class PathPoint(Measured):
    """A circuit that the method itself chose; `penalty` is the price of an edge, in nats."""

    penalty: FiniteFloat


class Cost(Form):
    """Costs of the discovery alone, without loading and measuring; memory is above that in use before."""

    seconds: FiniteFloat
    peak_mb: FiniteFloat


class CurveResult(MeasuredResult):
    """Metrics of circuits of every size of a ranking, and of those on the method's own path."""

    summary: Measured
    curve: Annotated[list[Point], Field(min_length=1, max_length=MOST)]
    circuit_top: dict[str, list[Top]]
    path: Annotated[list[PathPoint], Field(max_length=MOST)] = []
    cost: Cost | None = None  # the first runs had none

    def misfit(self, request: Request) -> str | None:
        """Return the first inconsistency; see the base class."""
        sizes = [point.edges_requested for point in self.curve]
        if sizes != sorted(set(sizes)) or sizes[-1] > self.summary.n_edges_total:
            return "the sizes on its curve do not ascend, or exceed the graph"
        return misfit_of_points(self.summary, self.curve, self.circuit_top, len(self.prompts))

    def circuit(self) -> Measured:
        """Return the metrics at the requested size."""
        return self.summary

    def point_at(self, edges: int) -> Point:
        """Return the point of the curve for `edges` edges requested, or the nearest one."""
        return min(self.curve, key=lambda point: abs(point.edges_requested - edges))


def misfit_of_points(
    summary: Measured, curve: Sequence[Measured], tops: dict[str, list[Top]], n_prompts: int
) -> str | None:
    """Return the first inconsistency in points of one graph and their predictions; None if there is none."""
    if any(point.n_edges_total != summary.n_edges_total for point in curve):
        return "the points of its curve are of different graphs"
    if any(len(of_prompts) != n_prompts for of_prompts in tops.values()):
        return "'circuit_top' does not have predictions for every prompt"
    return None


class Brief(Form):
    """Main metrics of a circuit in a sweep or of a repeated discovery."""

    n_edges: Count
    kl: Estimate
    faithfulness: Share

    def estimate(self, metric: str) -> Estimate | Share:
        """Return the "kl" or the "faithfulness"."""
        return self.kl if metric == "kl" else self.faithfulness


class FaultError(Exception):
    """A fault of a run folder, in one line that does not name the folder."""
