"""The view of sweeps, shown on the page Compare."""

import plotly.graph_objects as go

from app.compare.view import PAGE
from app.figures.style import Look
from app.runs import Shelf
from app.sweep.figures.pareto import pareto_figure
from app.sweep.lines import curves_of, lines_of
from app.views import Address, View, views
from engine.instruments.sweep.request import Sweep
from engine.instruments.sweep.result import SweepResult
from engine.instruments.words import title_of
from engine.runs.folder import Run


@views.register("sweep")
class SweepView(View[Sweep, SweepResult]):
    """Methods side by side."""

    def address(self, run: Run[Sweep, SweepResult], shelf: Shelf) -> Address:
        """Return Compare with this sweep."""
        return Address(PAGE, {"sweep": run.run_id})

    def good(self, run: Run[Sweep, SweepResult]) -> dict[str, str]:
        """Return the numbers of discoveries, of edges of the graph, and of failures."""
        rows, errors = run.result.rows, [row.error for row in run.result.rows if row.error is not None]
        return {
            "discoveries": f"{len(rows):,}",
            "graph": f"{run.result.n_edges_total:,} edges",
            "failed": f"{len(errors)} of {len(rows)}: {errors[0]}" if errors else "none",
        }

    def figure(self, run: Run[Sweep, SweepResult], scheme: Look) -> go.Figure:
        """Return the KL of all methods over edges, on the first task."""
        rows = run.result.rows
        lines = lines_of(rows, rows[0].task, run.result.n_edges_total)
        return pareto_figure(curves_of(lines, lines, "kl", scheme), "kl", scheme)

    def asked(self, run: Run[Sweep, SweepResult]) -> dict[str, str]:
        """Return the tasks, methods, ablations and seeds."""
        plan, facts = run.request.sweep, super().asked(run)
        names = {"task": plan.tasks, "method": plan.methods, "ablation": plan.ablations}
        several = {
            f"{kind}s": ", ".join(title_of(kind, name) for name in values) for kind, values in names.items()
        }
        seeds = f"seeds {', '.join(map(str, plan.seeds))}"
        several["prompts"] = f"{run.request.n_prompts:,} at most, {seeds}"
        return several | {"head inputs": facts["head inputs"]}
