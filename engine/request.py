"""A request: everything that decides what a run computes, and so what the run is called."""

import hashlib
import json
import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.graph import Qkv
from engine.tasks.base import Split


class Request(BaseModel):
    """What is asked for. Two requests that are equal give the same run, bit for bit on a CPU.

    Attributes:
        kind: "discover" scores every edge of a model for a task; "evaluate" measures the circuits of a
            finished run (`circuit`) under another ablation.
        weights_hash, task_hash: sha256 of the model's weight files and of a user's task file (None for a
            shipped task), so that a changed file is a different request.
        settings, ablation_settings: of the method and of the ablation; in a run's request all of them, so
            that a later default changes nothing.
        edges, sparsity: size of the circuit; at most one of them, 5 % of the edges if neither is given.
        split: where evaluation takes its prompts from.
        n_prompts: prompts to discover with, and prompts to evaluate on, at most.
        dtype: of the model; None takes what `load_model` takes.
        bos: None tokenises as the model's tokenizer does; True or False overrides its BOS token.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    kind: Literal["discover", "evaluate"] = "discover"
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
    qkv: Qkv = "split"
    seed: int = Field(default=0, ge=0)
    split: Split = "test"
    n_prompts: int = Field(default=200, ge=1, le=100_000)
    bos: bool | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    circuit: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Request":
        if self.edges is not None and self.sparsity is not None:
            raise ValueError("give the number of edges or the sparsity, not both")
        if self.kind == "discover" and self.method is None:
            raise ValueError("a discovery needs a method")
        if self.kind == "evaluate" and self.circuit is None:
            raise ValueError("an evaluation needs a circuit: the id of a finished run")
        return self

    def run_id(self) -> str:
        """Return the id of the run: readable parts and 8 hexadecimal digits of the request's hash."""
        content = json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:8]
        first = self.method if self.kind == "discover" else "evaluate"
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
