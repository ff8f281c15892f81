"""The facets by which runs are filtered."""

from collections.abc import Callable

from engine.instruments.words import model_name, title_of
from engine.runs.folder import AnyRun

FACETS: dict[str, tuple[str, Callable[[str], str]]] = {
    "model": ("Model", model_name),
    "task": ("Task", lambda name: title_of("task", name)),
    "method": ("Method", lambda name: title_of("method", name)),
    "ablation": ("Ablation", lambda name: title_of("ablation", name)),
}


def titles(run: AnyRun, name: str) -> str:
    """Return the titles of a run's values of a facet other than the model."""
    return ", ".join(title_of(name, value) for value in run.request.facets()[name])
