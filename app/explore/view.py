"""The page Explore, and the runs shown there: runs with a graph, and measurements of their circuits."""

from itertools import cycle
from typing import Any

import plotly.graph_objects as go

from app.compare.view import PAGE as COMPARE
from app.figures.curve import curve_figure
from app.figures.curves import Single, curves_figure
from app.figures.edges import expand_handles
from app.figures.graph import circuit_figure
from app.figures.style import Look
from app.runs import Shelf
from app.state import text_of
from app.views import Address, Page, View, circuit_facts, settings_facts, views
from engine.discovery.base import has_signed_scores
from engine.instruments.discover.request import Discover
from engine.instruments.evaluate.request import Evaluate
from engine.instruments.measure.request import Measure
from engine.instruments.measure.result import MeasureResult
from engine.instruments.words import title_of
from engine.runs.folder import Run
from engine.runs.record import CurveResult

PAGE = Page("explore", "Explore", ":material/hub:", order=10)
CIRCUIT = "its circuit"
OWN_PAIR = "Your own pair"  # the view of prompts typed in


class CircuitView(View[Any, CurveResult]):
    """A run that has a graph of its own."""

    def address(self, run: Run[Any, CurveResult], shelf: Shelf) -> Address | None:
        """Return Explore with this run, if it can be drawn."""
        return Address(PAGE, {"run": run.run_id}, CIRCUIT) if run.run_id in shelf.runs else None

    def good(self, run: Run[Any, CurveResult]) -> dict[str, str]:
        """Return the metrics at the requested size."""
        return circuit_facts(run)

    def figure(self, run: Run[Any, CurveResult], scheme: Look) -> go.Figure:
        """Return the circuit at the requested size."""
        method = next(iter(run.request.facets()["method"]), None)
        figure = circuit_figure(run.circuit_at(), scheme, signed=has_signed_scores(method))
        return expand_handles(figure)


@views.register("discover")
class DiscoverView(CircuitView):
    """A discovery."""

    def asked(self, run: Run[Discover, CurveResult]) -> dict[str, str]:
        """Return the request's fields, with the method and its settings."""
        method = {"method": title_of("method", run.request.method)}
        return super().asked(run) | method | settings_facts(run.request.settings)


@views.register("import")
class ImportView(CircuitView):
    """An import."""


@views.register("evaluate")
class EvaluateView(View[Evaluate, CurveResult]):
    """An evaluation, shown with the run that it evaluates."""

    def address(self, run: Run[Evaluate, CurveResult], shelf: Shelf) -> Address | None:
        """Return Explore with the run that is evaluated, under the ablation of the evaluation."""
        if run.request.circuit not in shelf.runs:
            return None
        return Address(PAGE, {"run": run.request.circuit, "under": run.request.ablation}, CIRCUIT)

    def good(self, run: Run[Evaluate, CurveResult]) -> dict[str, str]:
        """Return the metrics at the requested size."""
        return circuit_facts(run)

    def figure(self, run: Run[Evaluate, CurveResult], scheme: Look) -> go.Figure:
        """Return the KL over edges kept."""
        return curve_figure(run.result.curve, "kl", scheme, at=run.request.edges)

    def asked(self, run: Run[Evaluate, CurveResult]) -> dict[str, str]:
        """Return the request's fields, with the run that is evaluated."""
        return super().asked(run) | {"circuits of": run.request.circuit}


@views.register("measure")
class MeasureView(View[Measure, MeasureResult]):
    """A measurement of circuits made of others."""

    def address(self, run: Run[Measure, MeasureResult], shelf: Shelf) -> Address | None:
        """Return Compare with the runs that the circuits are of, or Explore with the one run they are of."""
        asked = run.request
        runs = [run_id for run_id in dict.fromkeys(asked.measured_runs()) if run_id in shelf.runs]
        if not runs:
            return None
        if len(runs) > 1:
            same = ("model", "task", "ablation")
            alike = [
                run_id
                for run_id in runs
                if all(getattr(shelf.runs[run_id].request, k) == getattr(asked, k) for k in same)
            ]
            on = alike[0] if alike else runs[0]
            return Address(COMPARE, {"runs": text_of(runs), "on": on, "with": asked.ablation})
        part = next(part for chosen in asked.circuits for part in chosen.parts if part.run == runs[0])
        query = {"run": runs[0], "edges": str(part.edges), "under": asked.ablation}
        if asked.pairs:
            pair = asked.pairs[0]
            query |= {"prompts": OWN_PAIR, "clean": pair.clean, "corrupt": pair.corrupt}
            answers = {"answers": pair.answers, "wrong": pair.wrong_answers}
            query |= {name: ", ".join(map(str.strip, words)) for name, words in answers.items()}
        elif removed := [name for chosen in asked.circuits for name in chosen.without]:
            query["select"] = text_of(removed[:1])
        return Address(PAGE, query, CIRCUIT)

    def good(self, run: Run[Measure, MeasureResult]) -> dict[str, str]:
        """Return the metrics of the first circuit."""
        return circuit_facts(run)

    def figure(self, run: Run[Measure, MeasureResult], scheme: Look) -> go.Figure:
        """Return the KL of every circuit over its edges."""
        points = [
            Single(point.name, point.name, point, colour, "circle")
            for point, colour in zip(run.result.curve, cycle(scheme.runs), strict=False)
        ]
        return curves_figure([], "kl", scheme, points=points)

    def asked(self, run: Run[Measure, MeasureResult]) -> dict[str, str]:
        """Return the request's fields, with the names of the circuits."""
        return super().asked(run) | {"circuits": ", ".join(chosen.name for chosen in run.request.circuits)}
