"""The forms of result.json: every field that a page, the command line or an export reads.

A run may come from anywhere, and its result is used as it was parsed: values are not converted, only checked.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, Strict

from engine.metrics import Metric
from engine.runs.request import Kind

_MOST = 1000  # sizes on a curve, lines of notes, prompts shown; far more than any run has


def _moment(text: str) -> str:
    # As runs are written; other forms of ISO 8601 are not read alike by every library.
    if datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="seconds") != text:
        raise ValueError("a time like 2026-01-31T12:00:00+00:00 is needed")
    return text


Conditioning = Literal["per position", "shared", "none"]
Count = Annotated[int, Field(ge=0)]
Bounds = Annotated[list[FiniteFloat | None], Field(min_length=2, max_length=2)]
# The most probable tokens of one prompt: text and probability, best first.
Top = Annotated[
    list[Annotated[tuple[str, FiniteFloat], Strict(False)]], Field(min_length=1, max_length=_MOST)
]
Lines = Annotated[list[str], Field(max_length=_MOST)]
Texts = Annotated[list[str], Field(min_length=1)]


class Form(BaseModel):
    """A form that checks and converts nothing; what it does not name may be there too."""

    model_config = ConfigDict(strict=True)


class Estimate(Form):
    """A mean over prompts with its interval; one prompt alone has none."""

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


class Measured(Metrics):
    """The metrics of a circuit and its size."""

    n_edges: Count
    n_edges_total: Annotated[int, Field(ge=1)]
    sparsity: FiniteFloat


class Point(Measured):
    """A point of a curve: the circuit of so many edges, of which some may dangle."""

    edges_requested: Annotated[int, Field(ge=1)]


class NamedPoint(Measured):
    """The metrics of a circuit that the request names."""

    name: str


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
    """What took how long."""

    seconds: FiniteFloat
    discovery_seconds: FiniteFloat
    evaluation_seconds: FiniteFloat


class Record(Form):
    """What every result has."""

    created: Annotated[str, AfterValidator(_moment)]
    timings: Timings
    versions: dict[str, str]
    device: str
    dtype: str
    notes: Lines


class Result(Record):
    """What the result of one measurement has."""

    model: Metrics
    ablated: Metrics
    metric: Metric
    prompts: Annotated[list[Prompt], Field(min_length=1, max_length=_MOST)]
    history: dict[str, list[FiniteFloat]]
    conditioning: Conditioning


class PathPoint(Measured):
    """A circuit that the method itself chose, at this price of an edge in nats."""

    penalty: FiniteFloat


class Cost(Form):
    """What the discovery alone took, without loading and measuring; memory above what was in use before."""

    seconds: FiniteFloat
    peak_mb: FiniteFloat


class CurveResult(Result):
    """The circuits of every size of a ranking, and those on the method's own path."""

    summary: Measured
    curve: Annotated[list[Point], Field(min_length=1, max_length=_MOST)]
    circuit_top: dict[str, list[Top]]
    path: Annotated[list[PathPoint], Field(max_length=_MOST)] = []
    cost: Cost | None = None  # the first runs had none


class NamedResult(Result):
    """The circuits that a measurement names."""

    summary: Measured
    curve: Annotated[list[NamedPoint], Field(min_length=1, max_length=_MOST)]
    circuit_top: dict[str, list[Top]]


class ImportanceResult(Result):
    """Every node ablated alone; per node the loss in KL and metric and the direct effects."""

    nodes: dict[str, dict[str, Estimate]]


class Brief(Form):
    """A circuit of a sweep or of a repeat in brief."""

    n_edges: Count
    kl: Estimate
    faithfulness: Share


class SweepPoint(Brief):
    """A circuit of a sweep, of so many edges of which some may dangle."""

    edges_requested: Annotated[int, Field(ge=1)]


class SweepStep(Brief):
    """A circuit that the method itself chose, at this price of an edge in nats."""

    penalty: FiniteFloat


class SweepRow(Form):
    """One method under one ablation on one task with one seed; `error` says why there are no points."""

    method: str
    ablation: str
    task: str
    seed: Count
    run: str
    error: str | None
    conditioning: Conditioning | None
    seconds: FiniteFloat | None
    peak_mb: FiniteFloat | None
    cpr: FiniteFloat | None
    cmd: FiniteFloat | None
    points: Annotated[list[SweepPoint], Field(max_length=_MOST)]
    path: Annotated[list[SweepStep], Field(max_length=_MOST)]


class SweepResult(Record):
    """Methods side by side."""

    n_edges_total: Annotated[int, Field(ge=1)]
    rows: Annotated[list[SweepRow], Field(min_length=1, max_length=100_000)]


class Repeat(Form):
    """A discovery repeated, or the circuit itself on templates held out; without numbers if it failed."""

    seed: Count
    held_out: list[str]
    run: str
    error: str | None
    n_edges: Count | None = None
    kl: Estimate | None = None
    faithfulness: Share | None = None


class StabilityResult(Record):
    """A discovery repeated."""

    repeats: Annotated[list[Repeat], Field(max_length=_MOST)]
    folds: Annotated[list[Repeat], Field(max_length=_MOST)]
    circuits: Annotated[list[str], Field(min_length=1, max_length=_MOST)]
    jaccard: Annotated[list[list[FiniteFloat]], Field(min_length=1, max_length=_MOST)]
    expected: FiniteFloat | None
    core: Count


# Classes of tokens by where they stand to the subject, in the order of tensors (`engine.tracing.prompts`).
TokenClass = Literal["first subject", "middle subject", "last subject", "next", "further", "last"]


class TracedPrompt(Form):
    """A prompt that was traced, its subject's first token and the one after its last, every token's class."""

    text: str
    tokens: Texts
    subject: Annotated[list[Count], Field(min_length=2, max_length=2)]
    classes: list[TokenClass | None]
    answer: str
    wrong_answer: str
    relation: str


class TracedClass(Form):
    """A class of tokens: per metric and column (layers, or heads layer by layer) the average indirect effect,
    the share of the lost probability recovered, and the effective number of columns."""

    effects: dict[str, list[Estimate | None]]
    share: list[Estimate | None]
    concentration: Estimate | None


class TraceResult(Record):
    """What the answer is worth clean and corrupted, of one prompt or over those of a task; `classes` is of a
    task alone."""

    traced: Annotated[list[TracedPrompt], Field(min_length=1, max_length=100_000)]
    clean: dict[str, Estimate]
    corrupted: dict[str, Estimate]
    classes: dict[TokenClass, TracedClass]
    n_drawn: Count
    n_heads: Annotated[int, Field(ge=1)]
    history: dict[str, list[FiniteFloat]]


# "3" before a layer, "3-mid" in its middle.
Place = Annotated[str, Field(pattern=r"^[0-9]{1,4}(-mid)?$")]


class LensMeasured(Form):
    """A lens over texts held out, at every place in nats, and how many numbers it has."""

    parameters: Count
    kl: list[Estimate]
    cross_entropy: list[Estimate]
    entropy: list[Estimate]


class Faithful(Form):
    """How far a lens reacts as the model does when the stream at a place is changed; 1 is just as it does."""

    lens: str
    place: str
    directions: Literal["random", "aligned"]
    intervention: Literal["projection", "steering", "resample"]
    magnitude: Share
    direction: Share
    n_directions: Count
    n_texts: Count


class TrainLensesResult(Record):
    """The lenses of a model, by name; `texts` says in words what texts were used.

    Each lens was trained on some texts, chosen by others (validation) and measured on `n_texts` more, held
    out from both; `length` is that of a text at most, `positions` how many count of each kind of text.
    """

    texts: str
    n_training: Count
    n_validation: Count
    n_texts: Count
    length: Count
    positions: dict[Literal["training", "validation", "held_out"], Count]
    places: Annotated[list[Place], Field(min_length=1, max_length=_MOST)]
    lenses: Annotated[dict[str, LensMeasured], Field(min_length=1, max_length=_MOST)]
    model: dict[str, Estimate]
    faithfulness: Annotated[list[Faithful], Field(max_length=100_000)] = []
    history: dict[str, list[FiniteFloat]]


class LensResult(Record):
    """One text read by lenses; `words` are those of the token ids among its arrays, `places` its rows."""

    text: str
    tokens: Texts
    places: Annotated[list[Place | Literal["output"]], Field(min_length=2, max_length=_MOST)]
    lenses: Annotated[list[str], Field(min_length=1, max_length=_MOST)]
    raced: Annotated[list[str], Field(max_length=_MOST)]
    words: dict[str, str]
    trained: str | None


FORMS: dict[Kind, type[Record]] = {
    "discover": CurveResult,
    "evaluate": CurveResult,
    "measure": NamedResult,
    "importance": ImportanceResult,
    "import": CurveResult,
    "sweep": SweepResult,
    "stability": StabilityResult,
    "trace": TraceResult,
    "train-lenses": TrainLensesResult,
    "lens": LensResult,
}


def misfit(result: Record, names: list[str]) -> str | None:
    """Return what does not fit together within a result of the right form, or None.

    Args:
        result: the result.
        names: of the circuits its request names; empty unless it is a measurement.
    """
    if isinstance(result, CurveResult):
        sizes = [point.edges_requested for point in result.curve]
        if sizes != sorted(set(sizes)) or sizes[-1] > result.summary.n_edges_total:
            return "the sizes on its curve do not ascend, or exceed the graph"
    if isinstance(result, NamedResult):
        if [point.name for point in result.curve] != names:
            return "the names on its curve are not those of its request"
        if missing := set(names) - result.circuit_top.keys():
            return f"'circuit_top' has nothing on '{missing.pop()}'"
    if isinstance(result, CurveResult | NamedResult):
        if any(point.n_edges_total != result.summary.n_edges_total for point in result.curve):
            return "the points of its curve are of different graphs"
        if any(len(tops) != len(result.prompts) for tops in result.circuit_top.values()):
            return "'circuit_top' does not have predictions for every prompt"
    if isinstance(result, ImportanceResult):
        needed = {"kl", result.metric, "answer", "wrong_answer"}
        for node, values in result.nodes.items():
            if missing := needed - values.keys():
                return f"node '{node}' has no '{min(missing)}'"
    if isinstance(result, SweepResult | StabilityResult):
        return _misfit_of_parts(result)
    if isinstance(result, TraceResult):
        return _misfit_of_trace(result)
    if isinstance(result, TrainLensesResult):
        for name, one in result.lenses.items():
            if {len(one.kl), len(one.cross_entropy), len(one.entropy)} != {len(result.places)}:
                return f"the lens '{name}' is not measured at every place"
        for row in result.faithfulness:
            if row.place not in result.places or row.lens not in result.lenses:
                return f"the faithfulness of '{row.lens}' at '{row.place}' is of no lens or place it has"
    if isinstance(result, LensResult) and [i for i in result.places if i == "output"] != result.places[-1:]:
        return "the last of its places, and no other, is to be the output"
    return None


def _misfit_of_parts(result: SweepResult | StabilityResult) -> str | None:
    if isinstance(result, SweepResult):
        for row in result.rows:
            if bool(row.points) == (row.error is not None):
                return f"the row of '{row.run}' has both points and an error, or neither"
        return None
    n = len(result.circuits)
    if len(result.jaccard) != n or any(len(row) != n for row in result.jaccard):
        return f"its overlaps are not those of {n} circuits"
    for repeat in (*result.repeats, *result.folds):
        if repeat.error is None and None in (repeat.n_edges, repeat.kl, repeat.faithfulness):
            return f"the repeat '{repeat.run}' has neither numbers nor an error"
    return None


def _misfit_of_trace(result: TraceResult) -> str | None:
    if result.classes and tuple(result.classes) != get_args(TokenClass):
        return f"its classes of tokens are not {', '.join(get_args(TokenClass))}, in this order"
    metrics = {"probability", "log_probability", "logit_difference"}
    for ends in (result.clean, result.corrupted, *(one.effects for one in result.classes.values())):
        if missing := metrics - ends.keys():
            return f"it has no '{min(missing)}'"
    lengths = {len(one.share) for one in result.classes.values()}
    lengths |= {len(row) for one in result.classes.values() for row in one.effects.values()}
    if len(lengths) > 1 or 0 in lengths:
        return "the effects of its classes have different lengths"
    effects = [row for one in result.classes.values() for row in one.effects.values()]
    if effects and all(one is None for row in effects for one in row):
        return "no class of tokens has effects"
    for prompt in result.traced:
        first, end = prompt.subject
        if not first < end <= len(prompt.tokens) == len(prompt.classes):
            return f"the subject or the classes of '{prompt.text}' do not fit its tokens"
    return None
