"""What runs are filtered by."""

from collections.abc import Callable

from app.runs import model_name, title_of
from engine.runs.store import Run

FACETS: dict[str, tuple[str, Callable[[str], str]]] = {
    "model": ("Model", model_name),
    "task": ("Task", lambda name: title_of("task", name)),
    "method": ("Method", lambda name: title_of("method", name)),
    "ablation": ("Ablation", lambda name: title_of("ablation", name)),
}


def facet(run: Run, name: str) -> list[str]:
    """Return what a run has of a facet: a sweep goes through several tasks, methods and ablations."""
    request = run.request
    if request.sweep is not None and name != "model":
        return getattr(request.sweep, f"{name}s")
    value = getattr(request, name)
    return [] if value is None else [value]


def titles(run: Run, name: str) -> str:
    """Return what a run has of a facet but its model, in words."""
    return ", ".join(title_of(name, value) for value in facet(run, name))
