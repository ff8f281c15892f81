"""A request: everything that decides what a run computes, and so what the run is called.

Every instrument has a request class of its own (`engine.instruments`), told apart by `kind`; here is what
they have in common. The name of a run holds a hash of its request as schema 1 wrote it: `SCHEMA_1` with the
fields of the request in place of its own. A field that came later (`engine.settings.Later`) counts for
nothing while it has its default, so that older runs keep their names.
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
    """What is asked of a model. Two requests that are equal give the same run, bit for bit on as many threads
    of a CPU.

    Attributes:
        fixed: fields of schema 1 that have one value in all requests of this kind, and are no fields here.
        kind: name of the instrument.
        model: a shipped name, a folder or a Hugging Face id.
        weights_hash: sha256 of the model's weight files, so that changed weights are another request.
        dtype: of the model; None takes what `load_model` takes.
        bos: None tokenises as the model's tokenizer does; True or False overrides its BOS token.
        seed: of everything random.
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
        """Return what is written into request.json: all that schema 1 wrote, and of later fields those that
        have another value than their default."""
        return SCHEMA_1 | self.fixed | self._foreign | settings_to_json(self)

    def keep_foreign(self, fields: dict[str, Any]) -> None:
        """Let fields of other kinds, which schema 1 had in every request, count for the run's name."""
        self._foreign.update(fields)

    def run_id(self) -> str:
        """Return the id of the run: readable parts and 8 hexadecimal digits of the request's hash."""
        content = self.to_json()
        parts = [self.title_part(), _last_part(self.model), _last_part(content["task"]), content["ablation"]]
        return readable_id(parts, content)

    def title_part(self) -> str:
        """Return what the id of the run begins with."""
        return self.kind

    def facets(self) -> dict[str, list[str]]:
        """Return what the run is found by: the values of each of `FACETS`, none or several."""
        content = self.to_json()
        return {name: [] if content[name] is None else [content[name]] for name in FACETS}

    @property
    def origin(self) -> str | None:
        """The id of the finished run that this is about, if it is about one."""
        return None

    def measured_runs(self) -> list[str]:
        """Return the ids of the runs whose circuits are measured."""
        return [] if self.origin is None else [self.origin]


class OfATask(Request, frozen=True):
    """A request about the prompts of a task.

    Attributes:
        task, ablation: names; a task may be a file of the user's.
        task_hash: sha256 of the user's task file; None for a shipped task.
        ablation_settings: in a run's request all of them, so that a later default changes nothing.
        split: where evaluation takes its prompts from.
        n_prompts: prompts to discover with, and prompts to evaluate on, at most.
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
        held_out: templates of the task that training leaves out; circuits are measured on them alone.
    """

    qkv: Qkv = Field(
        default="split", description="split: q, k and v of a head apart; merged: one input a head."
    )
    held_out: Annotated[list[Name], Later()] = Field(default=[], max_length=1000)


class OfACircuit(OfAGraph, frozen=True):
    """A request about circuits of many sizes, one of which is asked for.

    Attributes:
        edges, sparsity: size of the circuit; at most one of them, 5 % of the edges if neither is given. In a
            completed request the edges.
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
    """Return a text in small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:longest]


def _last_part(name: str) -> str:
    """Return what is readable of a path or a Hugging Face id: its last part without ending."""
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    return re.sub(r"\.(jsonl?|csv)$", "", last)
