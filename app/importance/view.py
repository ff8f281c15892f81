"""The page Ablations, and the view of its runs, which ablate every node alone."""

import plotly.graph_objects as go

from app.figures.curve import interval_text
from app.figures.style import Look
from app.importance.data import component, series_key, span, subject_key
from app.importance.figures.grid import Cell, grid_figure
from app.runs import Shelf
from app.views import Address, Page, View, views
from engine.instruments.importance.request import Importance
from engine.instruments.importance.result import ImportanceResult
from engine.runs.folder import Run

PAGE = Page("importance", "Ablations", ":material/grid_on:", order=30, path="ablations")


@views.register("importance")
class ImportanceView(View[Importance, ImportanceResult]):
    """Every node ablated alone."""

    def address(self, run: Run[Importance, ImportanceResult], shelf: Shelf) -> Address:
        """Return Ablations with what was measured, under the run's ablation."""
        return Address(PAGE, {"subject": subject_key(run.request), "ablation": series_key(run)})

    def good(self, run: Run[Importance, ImportanceResult]) -> dict[str, str]:
        """Return how many nodes there are."""
        return {"nodes": f"{len(run.result.nodes):,} ablated one by one"}

    def figure(self, run: Run[Importance, ImportanceResult], scheme: Look) -> go.Figure:
        """Return the grid of layers and heads, coloured by what each costs."""
        cells: dict[str, Cell] = {}
        for node, estimates in run.result.nodes.items():
            layer, head = component(node) or (-1, None)
            cells[node] = Cell(layer, head, estimates["kl"].mean, interval_text(estimates["kl"]))
        return grid_figure(cells, span([cell.mean for cell in cells.values()]), scheme)
