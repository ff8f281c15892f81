"""A request: everything that decides what a run computes, and so what the run is called."""

import hashlib
import json
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.circuits.graph import Qkv
from engine.lenses.settings import LensTraining
from engine.tasks.base import Split

Kind = Literal[
    "discover",
    "evaluate",
    "measure",
    "importance",
    "import",
    "sweep",
    "stability",
    "trace",
    "train-lenses",
    "lens",
]
State = Literal["residual", "attention", "mlp", "head"]
Holdout = Literal["random", "relations"]
# Fields that the first runs had not: while empty they count for nothing.
_LATER = ("circuits", "pairs", "sizes", "held_out", "sweep", "stability", "trace", "lens_training", "lens")


class Part(BaseModel):
    """The circuit of one size of a finished run, dangling edges pruned."""

    model_config = ConfigDict(extra="forbid")

    run: str
    edges: int = Field(ge=1)


class Chosen(BaseModel):
    """A circuit made of others: `parts` joined, pruned of dangling edges, less what is taken out of it.

    Attributes:
        name: what its point in the result is called.
        join: of several parts: the edges in all of them, in any of them, or in the first and no other.
        parts: circuits of finished runs; none of them means the whole model.
        without: edges to take out, and nodes, of which every edge out is taken; nothing is pruned after.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    join: Literal["intersection", "union", "difference"] = "union"
    parts: list[Part] = []
    without: list[str] = []


class OwnPair(BaseModel):
    """A pair of prompts that a user typed, as in a line of a task file."""

    model_config = ConfigDict(extra="forbid")

    clean: str = Field(min_length=1, max_length=20_000)
    corrupt: str = Field(min_length=1, max_length=20_000)
    answers: list[str] = Field(min_length=1, max_length=100)
    wrong_answers: list[str] = Field(min_length=1, max_length=100)


Name = Annotated[str, Field(min_length=1, max_length=1000)]
Seed = Annotated[int, Field(ge=0)]


class Sweep(BaseModel):
    """What a comparison of methods goes through: every combination of these.

    Attributes:
        settings: of the methods that are not to take their defaults, by name.
        task_hashes: sha256 of the users' task files among the tasks.
    """

    model_config = ConfigDict(extra="forbid")

    methods: list[Name] = Field(min_length=1, max_length=50)
    ablations: list[Name] = Field(min_length=1, max_length=50)
    tasks: list[Name] = Field(min_length=1, max_length=50)
    seeds: list[Seed] = Field(min_length=1, max_length=50)
    settings: dict[str, dict[str, Any]] = {}
    task_hashes: dict[str, str] = {}

    @model_validator(mode="after")
    def _once(self) -> "Sweep":
        for names in (self.methods, self.ablations, self.tasks, self.seeds):
            if len(set(names)) < len(names):
                raise ValueError(f"named twice: {', '.join(map(str, names))}")
        return self


class Stability(BaseModel):
    """How a discovery is repeated: with these seeds, and without each of so many parts of its templates."""

    model_config = ConfigDict(extra="forbid")

    seeds: list[Seed] = Field(min_length=1, max_length=50)
    folds: int = Field(default=2, ge=0, le=10)

    @model_validator(mode="after")
    def _parts(self) -> "Stability":
        if self.folds == 1 or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(
                "no seed can be named twice, and templates are parted in 2 or more, or 0 for not"
            )
        return self


class Trace(BaseModel):
    """What is traced: a prompt of the user's, or the test prompts of the task.

    Attributes:
        state: what is restored: the stream before a layer, what its attention, MLP or one head writes.
        window: layers restored at once.
        prompt, subject: of the user's own; None traces the task.
        answer, wrong_answer: what follows the prompt; None takes the model's first and second choice.
        holdout: what the task's test prompts keep from those that constants are trained on: "random", ways
            of asking the same facts, at random; or "relations", whole kinds of facts.
    """

    model_config = ConfigDict(extra="forbid")

    state: State = "residual"
    window: int = Field(default=1, ge=1, le=1000)
    prompt: Annotated[str, Field(min_length=1, max_length=20_000)] | None = None
    subject: Annotated[str, Field(min_length=1, max_length=20_000)] | None = None
    answer: Name | None = None
    wrong_answer: Name | None = None
    holdout: Holdout = "random"

    @model_validator(mode="after")
    def _whole(self) -> "Trace":
        if (self.prompt is None) != (self.subject is None):
            raise ValueError("a prompt of your own needs its subject, and a subject its prompt")
        if self.prompt is None and (self.answer or self.wrong_answer):
            raise ValueError("answers are for a prompt of your own: give the prompt and its subject")
        if self.state == "head" and self.window > 1:
            raise ValueError("heads are restored one by one: take the window 1")
        return self


class LensReading(BaseModel):
    """What lenses read: a text, and what becomes of it while it runs.

    Attributes:
        lenses: by name.
        words: whose probability is followed through the layers; one token each.
        middle: also in the middle of layers.
        ablated: nodes that write a constant instead ("a2.h3", "m1"); `ablation` says which, there and for
            what a circuit leaves out.
        circuit: the text runs through this circuit, and its output is the last row.
        trained: id of the run that trained the lenses; None takes that of default settings.
    """

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=20_000)
    lenses: list[Name] = Field(
        default=["logit", "mean", "tuned", "oca", "linear-oca"], min_length=1, max_length=20
    )
    words: list[Name] = Field(default=[], max_length=8)
    middle: bool = False
    ablated: list[Name] = Field(default=[], max_length=1000)
    ablation: Literal["mean", "zero"] = "mean"
    circuit: Part | None = None
    trained: Name | None = None

    @model_validator(mode="after")
    def _once(self) -> "LensReading":
        for names in (self.lenses, self.words, self.ablated):
            if len(set(names)) < len(names):
                raise ValueError(f"named twice: {', '.join(names)}")
        if self.ablated and self.circuit:
            raise ValueError("a circuit says itself what is ablated: give nodes or a circuit, not both")
        return self


class Request(BaseModel):
    """What is asked for. Two requests that are equal give the same run, bit for bit on as many threads
    of a CPU.

    Attributes:
        kind: "discover" scores every edge of a model for a task; "evaluate" measures the circuits of a
            finished run (`circuit`) under another ablation; "measure" measures `circuits`, on `pairs` if
            there are any; "importance" ablates every node alone; "import" measures an imported circuit file
            (`circuit` is its sha256) at every size; "sweep" compares methods and "stability" repeats the
            discovery of `circuit`, both by other requests (`engine.composite`); "trace" restores states of
            corrupted prompts, and its `ablation` is the corruption (`engine.tracing`); "train-lenses" trains
            the lenses of a model and "lens" reads a text by them, both with the task "text" and the
            ablation "none" (`engine.lenses`).
        weights_hash, task_hash: sha256 of the model's weight files and of a user's task file (None for a
            shipped task), so that a changed file is a different request.
        settings, ablation_settings: of the method and of the ablation; in a run's request all of them, so
            that a later default changes nothing.
        edges, sparsity: size of the circuit; at most one of them, 5 % of the edges if neither is given.
        sizes: numbers of edges that circuits are measured at; by default a grid up to all edges.
        held_out: templates of the task that training leaves out; circuits are measured on them alone.
        split: where evaluation takes its prompts from.
        n_prompts: prompts to discover with, and prompts to evaluate on, at most.
        dtype: of the model; None takes what `load_model` takes.
        bos: None tokenises as the model's tokenizer does; True or False overrides its BOS token.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    kind: Kind = "discover"
    model: str
    weights_hash: str | None = None
    task: str
    task_hash: str | None = None
    ablation: str
    ablation_settings: dict[str, Any] = {}
    method: str | None = None
    settings: dict[str, Any] = {}
    edges: int | None = Field(default=None, ge=1)
    sparsity: float | None = Field(default=None, ge=0, lt=1)
    sizes: list[Annotated[int, Field(ge=1)]] = Field(default=[], max_length=200)
    qkv: Qkv = "split"
    seed: int = Field(default=0, ge=0)
    split: Split = "test"
    n_prompts: int = Field(default=200, ge=1, le=100_000)
    bos: bool | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    circuit: str | None = None
    circuits: list[Chosen] = []
    pairs: list[OwnPair] = Field(default=[], max_length=64)
    held_out: list[Name] = Field(default=[], max_length=1000)
    sweep: Sweep | None = None
    stability: Stability | None = None
    trace: Trace | None = None
    lens_training: LensTraining | None = None
    lens: LensReading | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Request":
        if self.edges is not None and self.sparsity is not None:
            raise ValueError("give the number of edges or the sparsity, not both")
        if self.kind == "discover" and self.method is None:
            raise ValueError("a discovery needs a method")
        if self.kind == "evaluate" and self.circuit is None:
            raise ValueError("an evaluation needs a circuit: the id of a finished run")
        if self.kind == "import" and self.circuit is None:
            raise ValueError("an import needs a circuit: the sha256 of a file that was imported")
        if self.kind == "sweep" and self.sweep is None:
            raise ValueError("a sweep needs methods, ablations, tasks and seeds")
        if self.kind == "stability" and (self.stability is None or self.circuit is None):
            raise ValueError("stability needs a circuit, the id of a finished run, and seeds")
        if self.kind == "trace" and self.trace is None:
            raise ValueError("a trace needs what is restored")
        if self.kind == "train-lenses" and self.lens_training is None:
            raise ValueError("lenses need settings of their training")
        if self.kind == "lens" and self.lens is None:
            raise ValueError("a lens needs a text to read")
        if self.kind == "measure" and not self.circuits:
            raise ValueError("a measurement needs circuits to measure")
        return self

    def run_id(self) -> str:
        """Return the id of the run: readable parts and 8 hexadecimal digits of the request's hash."""
        fields = self.model_dump(mode="json", by_alias=True)
        content = json.dumps({k: v for k, v in fields.items() if v or k not in _LATER}, sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:8]
        first = self.method if self.kind == "discover" else self.kind
        parts = [first or "", _last_part(self.model), _last_part(self.task), self.ablation, digest]
        return "-".join(re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-")[:40] for part in parts)

    def target_edges(self, n_edges: int) -> int:
        """Return the requested number of edges in a graph of `n_edges`."""
        if self.edges is not None:
            return self.edges
        sparsity = 0.95 if self.sparsity is None else self.sparsity
        return max(1, round((1 - sparsity) * n_edges))


def _last_part(name: str) -> str:
    """Return what is readable of a path or a Hugging Face id: its last part without ending."""
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    return re.sub(r"\.(jsonl?|csv)$", "", last)
