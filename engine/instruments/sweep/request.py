"""The request of a sweep."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.runs.request import Name, OfACircuit, Seed


class SweepPlan(BaseModel):
    """The combinations of a comparison: every method, ablation, task and seed.

    Attributes:
        settings: settings by method, for methods that do not use their defaults.
        task_hashes: sha256 of the task files among the tasks.
    """

    model_config = ConfigDict(extra="forbid")

    methods: list[Name] = Field(
        min_length=1, max_length=50, description="Methods, separated by commas; `list methods` names them."
    )
    ablations: list[Name] = Field(min_length=1, max_length=50, description="Ablations, separated by commas.")
    tasks: list[Name] = Field(
        min_length=1, max_length=50, description="Tasks or task files, separated by commas."
    )
    seeds: list[Seed] = Field(min_length=1, max_length=50, description="Seeds, separated by commas.")
    settings: dict[str, dict[str, Any]] = {}
    task_hashes: dict[str, str] = {}

    @model_validator(mode="after")
    def _once(self) -> "SweepPlan":
        for names in (self.methods, self.ablations, self.tasks, self.seeds):
            if len(set(names)) < len(names):
                raise ValueError(f"named twice: {', '.join(map(str, names))}")
        return self


class Sweep(OfACircuit, frozen=True):
    """Compare methods; `task` and `ablation` are the first of the plan."""

    kind: Literal["sweep"] = "sweep"
    sweep: SweepPlan

    def facets(self) -> dict[str, list[str]]:
        """Return the model, and all tasks, methods and ablations."""
        plan = self.sweep
        return {"model": [self.model], "task": plan.tasks, "method": plan.methods, "ablation": plan.ablations}
