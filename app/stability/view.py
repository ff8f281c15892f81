"""The view of repeated discoveries, shown with the run that was repeated."""

import plotly.graph_objects as go

from app.explore.view import CIRCUIT, PAGE
from app.figures.style import Look
from app.runs import Shelf
from app.stability.data import labels_of
from app.stability.figures.stability import jaccard_figure
from app.views import Address, View, views
from engine.instruments.stability.request import Stability
from engine.instruments.stability.result import StabilityResult
from engine.runs.folder import Run


@views.register("stability")
class StabilityView(View[Stability, StabilityResult]):
    """A discovery repeated."""

    def address(self, run: Run[Stability, StabilityResult], shelf: Shelf) -> Address | None:
        """Return Explore with the run that was repeated."""
        origin = run.request.circuit
        return Address(PAGE, {"run": origin}, CIRCUIT) if origin in shelf.runs else None

    def good(self, run: Run[Stability, StabilityResult]) -> dict[str, str]:
        """Return the main numbers of the repeats."""
        result = run.result
        overlaps = [value for i, row in enumerate(result.jaccard) for value in row[:i]]
        facts = {"circuits": f"{len(result.circuits):,}", "edges in all of them": f"{result.core:,}"}
        if overlaps:
            chance = "" if result.expected is None else f", {result.expected:.3g} by chance"
            facts["Jaccard"] = f"{min(overlaps):.3g} to {max(overlaps):.3g}{chance}"
        seeds = [repeat.kl.mean for repeat in result.repeats if repeat.kl is not None and not repeat.held_out]
        if seeds:
            facts["KL with other seeds"] = f"{min(seeds):.3g} to {max(seeds):.3g} nats"
        repeats = [*result.repeats, *result.folds]
        errors = [repeat.error for repeat in repeats if repeat.error is not None]
        return facts | {"failed": f"{len(errors)} of {len(repeats)}: {errors[0]}" if errors else "none"}

    def figure(self, run: Run[Stability, StabilityResult], scheme: Look) -> go.Figure:
        """Return the overlaps of all circuits."""
        labels = labels_of(run.result, run.request.circuit)
        names = [labels[run_id] for run_id in run.result.circuits]
        return jaccard_figure(names, run.result.jaccard, run.result.expected, scheme)

    def asked(self, run: Run[Stability, StabilityResult]) -> dict[str, str]:
        """Return the request's fields, with the repeated run, the seeds and the folds."""
        plan = run.request.stability
        return super().asked(run) | {
            "circuits of": run.request.circuit,
            "repeated with": f"seeds {', '.join(map(str, plan.seeds))}",
            "templates held out in": f"{plan.folds} parts",
        }
