"""Base classes of requests: all fields that determine what a run computes, and thereby the run's id.

Every instrument has a request class of its own (`engine.instruments`), told apart by `kind`. The id of a run
has a hash of its request in the form of schema 1: `SCHEMA_1`, updated by the fields of the request. A field
that was added later (`engine.settings.Later`) is left out of the hash while it has its default, so that older
runs keep their ids.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from engine.circuits.graph import Qkv
from engine.settings import Later, settings_to_json
from engine.tasks.base import Split

# What every request of schema 1 was hashed with, whatever its kind. Never to be changed.
SCHEMA_1: dict[str, Any] = {
    "schema": 1,
    "model": None,
    "weights_hash": None,
    "task": None,
    "task_hash": None,
    "ablation": None,
    "ablation_settings": {},
    "method": None,
    "settings": {},
    "edges": None,
    "sparsity": None,
    "qkv": "split",
    "seed": 0,
    "split": "test",
    "n_prompts": 200,
    "bos": None,
    "dtype": None,
    "circuit": None,
}

Name = Annotated[str, Field(min_length=1, max_length=1000)]
Seed = Annotated[int, Field(ge=0)]
FACETS = ("model", "task", "method", "ablation")  # what runs are filtered by


class Request(BaseModel, frozen=True):
    """Base class of requests about a model.

    Equal requests give the same run, bit for bit on a CPU with the same number of threads.

    Attributes:
        fixed: fields of schema 1 that are constant in all requests of this kind, and are no fields of the
            class.
        kind: name of the instrument.
        model: a shipped name, a folder or a Hugging Face id.
        weights_hash: sha256 of the model's weight files, so that changed weights make another request.
        dtype: dtype of the model; None takes the default of `load_model`.
        bos: None tokenises as the model's tokenizer does; True or False overrides its BOS token.
        seed: seed of all randomness.
    """

    model_config = ConfigDict(extra="forbid")

    fixed: ClassVar[dict[str, Any]] = {}

    kind: str
    model: str = Field(description="A shipped name, a folder or a Hugging Face id.")
    weights_hash: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = Field(
        default=None, description="float32, bfloat16 or float16; chosen if not given."
    )
    bos: bool | None = Field(default=None, description="Override whether prompts begin with a BOS token.")
    seed: int = Field(default=0, ge=0, description="Of everything random.")

    # Fields of other kinds that a request of schema 1 says something in: they are part of its run's name.
    _foreign: dict[str, Any] = PrivateAttr(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the content of request.json: all fields of schema 1, and later fields that differ from their
        defaults."""
        return SCHEMA_1 | self.fixed | self._foreign | settings_to_json(self)

    def keep_foreign(self, fields: dict[str, Any]) -> None:
        """Keep fields of other kinds, which a request of schema 1 has and which count for its id."""
        self._foreign.update(fields)

    def run_id(self) -> str:
        """Return the id of the run: readable parts and 8 hexadecimal digits of the request's hash."""
        content = self.to_json()
        parts = [self.title_part(), _last_part(self.model), _last_part(content["task"]), content["ablation"]]
        return readable_id(parts, content)

    def title_part(self) -> str:
        """Return the beginning of the run's id."""
        return self.kind

    def facets(self) -> dict[str, list[str]]:
        """Return the values by which runs are filtered, a list for each of `FACETS`."""
        content = self.to_json()
        return {name: [] if content[name] is None else [content[name]] for name in FACETS}

    @property
    def origin(self) -> str | None:
        """The id of the finished run that this request is about, if any."""
        return None

    def measured_runs(self) -> list[str]:
        """Return the ids of the runs whose circuits are measured."""
        return [] if self.origin is None else [self.origin]


class OfATask(Request, frozen=True):
    """A request about the prompts of a task.

    Attributes:
        task, ablation: names; a task may be a file of the user's.
        task_hash: sha256 of the user's task file; None for a shipped task.
        ablation_settings: settings of the ablation; a completed request has all, so that it does not depend
            on defaults.
        split: the split of the prompts that circuits are evaluated on.
        n_prompts: largest number of prompts to discover with, and of prompts to evaluate on.
    """

    task: str = Field(description="A task's name or a task file (JSONL, JSON, CSV).")
    task_hash: str | None = None
    ablation: str = Field(description="What stands in for what is ablated.")
    ablation_settings: dict[str, Any] = {}
    split: Split = Field(
        default="test",
        description="Prompts that circuits are evaluated on: train, validation, test.",
    )
    n_prompts: int = Field(
        default=200,
        ge=1,
        le=100_000,
        description="Prompts to discover with, and to evaluate on, at most.",
    )


class OfAGraph(OfATask, frozen=True):
    """A request about nodes and edges of a model's graph.

    Attributes:
        held_out: templates of the task that training leaves out, and on which alone circuits are measured.
    """

    qkv: Qkv = Field(
        default="split", description="split: q, k and v of a head apart; merged: one input a head."
    )
    held_out: Annotated[list[Name], Later()] = Field(default=[], max_length=1000)


class OfACircuit(OfAGraph, frozen=True):
    """A request about circuits of many sizes, one of which is asked for.

    Attributes:
        edges, sparsity: size of the circuit; at most one is given, and neither stands for 5 % of the edges. A
            completed request has `edges`.
        sizes: numbers of edges that circuits are measured at; by default a grid up to all edges.
    """

    edges: int | None = Field(default=None, ge=1, description="Edges to keep; 5 % of all if not given.")
    sparsity: float | None = Field(
        default=None, ge=0, lt=1, description="Share of the edges to ablate, instead of --edges."
    )
    sizes: Annotated[list[Annotated[int, Field(ge=1)]], Later()] = Field(
        default=[],
        max_length=200,
        description="Numbers of edges, separated by commas; MIB's if not given.",
    )

    @model_validator(mode="after")
    def _one_size(self) -> "OfACircuit":
        if self.edges is not None and self.sparsity is not None:
            raise ValueError("give the number of edges or the sparsity, not both")
        return self

    def target_edges(self, n_edges: int) -> int:
        """Return the requested number of edges in a graph of `n_edges`."""
        if self.edges is not None:
            return self.edges
        sparsity = 0.95 if self.sparsity is None else self.sparsity
        return max(1, round((1 - sparsity) * n_edges))


def readable_id(parts: Sequence[str], content: Any) -> str:
    """Return an id: the readable parts, and 8 hexadecimal digits of the hash of a JSON-able content."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    return "-".join([*(slug(part) for part in parts), digest])


def slug(text: str, longest: int = 40) -> str:
    """Return a text reduced to small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:longest]


def _last_part(name: str) -> str:
    """Return the last part of a path or a Hugging Face id, without file ending."""
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    return re.sub(r"\.(jsonl?|csv)$", "", last)
