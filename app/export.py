"""A circuit as one HTML file that opens offline, with hover and zoom."""

from html import escape
from pathlib import Path

from app.figures.edges import expand_handles
from app.figures.graph import circuit_figure
from app.figures.style import LIGHT
from engine.circuits.circuit import Circuit
from engine.discovery.base import has_signed_scores
from engine.runs.folder import AnyRun

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 1.5rem auto; max-width: 1200px; padding: 0 1rem; color: {ink}; background: {ground};
       font: 16px/1.5 "Source Sans 3", "Source Sans Pro", system-ui, sans-serif; }}
h1 {{ font-size: 1.4rem; margin: 0; }}
p {{ margin: .2rem 0; color: {muted}; font-size: .9rem; }}
table {{ border-collapse: collapse; font-size: .9rem; }}
td, th {{ border-bottom: 1px solid {faint}; padding: .2rem .8rem .2rem 0; text-align: left; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{line}</p>
<p>{provenance}</p>
{figure}
<details><summary>The edges as a table</summary>
<table><thead><tr><th>edge</th><th>score</th></tr></thead><tbody>
{rows}
</tbody></table></details>
</body>
</html>
"""


def to_html(run: AnyRun, circuit: Circuit) -> str:
    """Return the circuit as a page of its own: plotly.js is inside, nothing is loaded from anywhere.

    Args:
        run: the run the circuit comes from.
        circuit: the circuit to show.
    """
    request, graph = run.request, circuit.graph
    method = next(iter(request.facets()["method"]), None)  # of an import there is none
    signed = has_signed_scores(method)
    figure = expand_handles(circuit_figure(circuit, LIGHT, signed=signed))
    figure.update_layout(height=max(560, 47 * (graph.n_layers + 4)))
    order = (-circuit.scores).argsort(kind="stable")
    rows = "\n".join(
        f"<tr><td>{escape(graph.edge_names[i])}</td><td>{circuit.scores[i]:.4g}</td></tr>"
        for i in order
        if circuit.kept[i]
    )
    return _PAGE.format(
        title=escape(f"Circuit for {Path(request.task).name} in {Path(request.model).name}"),
        line=f"{circuit.n_edges:,} of {graph.n_edges:,} edges. Hover for names and scores; drag to move, "
        "scroll to zoom, double-click to reset.",
        provenance=escape(
            f"method {method}, ablation {request.ablation}, {request.n_prompts} prompts, "
            f"seed {request.seed}, run {run.run_id}"
        ),
        figure=figure.to_html(
            full_html=False, include_plotlyjs=True, config={"scrollZoom": True, "displaylogo": False}
        ),
        rows=rows,
        ink=LIGHT.ink,
        ground=LIGHT.ground,
        muted=LIGHT.muted,
        faint=LIGHT.faint,
    )
