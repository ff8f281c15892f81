"""Views: how runs of each kind are shown. Some views have a page of their own.

A folder of `app/` with a module `view.py` needs no further registration. The module registers a `View` for
every kind of run that the folder shows. If the folder has a page of its own, the module defines `PAGE`:

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
        folder: name of the folder in `app/`.
        title, icon: title and icon in the navigation.
        order: position in the navigation, ascending; the first page is the start page.
        path: path in the address; the folder's name if not given.
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
    """The address of a page that shows a run.

    Attributes:
        page: the page.
        query: parameters of the address.
        what: description of what the page shows, for the help of a button.
    """

    page: Page
    query: dict[str, str] = field(default_factory=dict)
    what: str = "it"


class View(ABC, Generic[Asked, Answer]):
    """Base class of views, which present the runs of one kind in lists of all kinds."""

    @abstractmethod
    def address(self, run: Run[Asked, Answer], shelf: Shelf) -> Address | None:
        """Return the address of a page that shows a run; None if no page can."""

    @abstractmethod
    def good(self, run: Run[Asked, Answer]) -> dict[str, str]:
        """Return the main numbers of a run as text, by name."""

    @abstractmethod
    def figure(self, run: Run[Asked, Answer], scheme: Look) -> go.Figure:
        """Return the main figure of a run, for notebooks."""

    def asked(self, run: Run[Asked, Answer]) -> dict[str, str]:
        """Return the fields of the request other than the model as text, by name."""
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
    """Return the main figure of a run; `engine.api` calls this function through an entry point."""
    return views.get(run.request.kind).figure(run, look("dark" if dark else "light"))


def pages() -> list[Page]:
    """Return all pages in order."""
    # A folder without a page may take that of another from its view.
    all_pages = {module.PAGE for module in modules_named("app", "view") if hasattr(module, "PAGE")}
    return sorted(all_pages, key=lambda page: page.order)


def estimate_fact(estimate: Estimate | Share) -> str:
    """Return an estimate with its interval as text."""
    return f"{number_text(estimate)}  ({interval_text(estimate)})"


def settings_facts(settings: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return settings that have a value as text, by name."""
    return {
        f"{prefix}{name}".replace("_", " "): str(value)
        for name, value in settings.items()
        if value not in (None, [], {})
    }


def circuit_facts(run: Run[Any, Any]) -> dict[str, str]:
    """Return the metrics of a run's circuit as text, by name."""
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
