"""How runs are shown: each instrument has a view, and some of the views have a page.

A folder of `app/` with a module `view.py` is found by itself. The module registers a `View` for every kind of
run that the folder shows, and where the folder has a page of its own, its `PAGE` says so:

    PAGE = Page("trace", "Causal tracing", ":material/timeline:", order=40)

    @views.register("trace")
    class TraceView(View[Trace, TraceResult]): ...
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Generic

import plotly.graph_objects as go

from app.figures.curve import interval_text, number_text
from app.figures.style import Look, look
from app.runs import Shelf
from engine.instruments.base import Answer, Asked
from engine.instruments.words import title_of
from engine.registry import Registry, modules_named
from engine.runs.folder import Run
from engine.runs.record import Estimate, MeasuredResult, Share
from engine.runs.request import OfAGraph, OfATask


@dataclass(frozen=True)
class Page:
    """A page of the dashboard: the script `page.py` of a folder.

    Attributes:
        folder: of `app/`.
        title, icon: in the navigation.
        order: where it stands there; the first page is what a visitor sees first.
        path: of its address; the folder's name if not given.
    """

    folder: str
    title: str
    icon: str
    order: int
    path: str = ""

    @property
    def script(self) -> str:
        """The page as `st.switch_page` takes it."""
        return f"{self.folder}/page.py"


@dataclass(frozen=True)
class Address:
    """Where a run is shown.

    Attributes:
        page: the page.
        query: parameters of its address.
        what: what is shown there, in words.
    """

    page: Page
    query: dict[str, str] = field(default_factory=dict)
    what: str = "it"


class View(ABC, Generic[Asked, Answer]):
    """How the runs of one kind are shown where all kinds stand together."""

    @abstractmethod
    def address(self, run: Run[Asked, Answer], shelf: Shelf) -> Address | None:
        """Return where a run can be looked at; None if it cannot."""

    @abstractmethod
    def good(self, run: Run[Asked, Answer]) -> dict[str, str]:
        """Return how good a run is: its numbers, by what they are called."""

    @abstractmethod
    def figure(self, run: Run[Asked, Answer], scheme: Look) -> go.Figure:
        """Return the picture of a run that stands for all of it, for notebooks."""

    def asked(self, run: Run[Asked, Answer]) -> dict[str, str]:
        """Return what was asked beside the model, by what it is called."""
        request, facts = run.request, {}
        if isinstance(request, OfATask):
            conditioning = run.result.conditioning if isinstance(run.result, MeasuredResult) else "none"
            constants = "" if conditioning == "none" else f", {conditioning}"
            facts["task"] = request.task if request.task_hash else title_of("task", request.task)
            facts["ablation"] = f"{request.ablation}{constants}"
            facts["prompts"] = f"{request.n_prompts:,} at most, seed {request.seed}"
        if isinstance(request, OfAGraph):
            facts["head inputs"] = "q, k and v apart" if request.qkv == "split" else "merged"
        if isinstance(request, OfATask):
            facts |= settings_facts(request.ablation_settings, "ablation ")
        return facts


views: Registry[View[Any, Any]] = Registry("view", "app", "view")


def figure(run: Run[Any, Any], dark: bool = False) -> go.Figure:
    """Return the picture of a run; `engine.api` finds this as an entry point."""
    return views.get(run.request.kind).figure(run, look("dark" if dark else "light"))


def pages() -> list[Page]:
    """Return the pages there are, in their order."""
    # A folder without a page may take that of another from its view.
    all_pages = {module.PAGE for module in modules_named("app", "view") if hasattr(module, "PAGE")}
    return sorted(all_pages, key=lambda page: page.order)


def estimate_fact(estimate: Estimate | Share) -> str:
    """Return an estimate with its interval, in words."""
    return f"{number_text(estimate)}  ({interval_text(estimate)})"


def settings_facts(settings: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return settings that have a value, by their names in words."""
    return {
        f"{prefix}{name}".replace("_", " "): str(value)
        for name, value in settings.items()
        if value not in (None, [], {})
    }


def circuit_facts(run: Run[Any, Any]) -> dict[str, str]:
    """Return how good the circuit is that a run is about."""
    result = run.result
    assert isinstance(result, MeasuredResult)
    summary = result.circuit()
    assert summary is not None
    share = 100 * summary.n_edges / summary.n_edges_total
    metric = result.metric
    names = {"KL": "kl", "faithfulness": "faithfulness", metric.replace("_", " "): metric}
    facts = {"edges": f"{summary.n_edges:,} of {summary.n_edges_total:,} ({share:.2g} %)"}
    for words, name in (names | {"same top token": "agreement", "accuracy": "accuracy"}).items():
        facts[words] = estimate_fact(summary.metric(name))
    return facts | {"prompts": f"{summary.kl.n:,} of the {run.request.split} split"}
