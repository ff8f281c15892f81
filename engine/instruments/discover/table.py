"""The README's table of shipped circuits."""

from engine.instruments.tables import estimate_text, markdown, shipped
from engine.runs.store import RunStore


def runs_table(store: RunStore) -> str:
    """Return the shipped discoveries in Markdown, each at its requested size."""
    runs = shipped(store, "discover")
    rows: list[list[str]] = []
    for run in sorted(runs, key=lambda run: (run.request.ablation != "counterfactual", run.run_id)):
        summary = run.result.summary
        edges = f"{summary.n_edges} of {summary.n_edges_total}"
        estimates = (estimate_text(summary.kl), estimate_text(summary.faithfulness))
        rows.append([run.request.task, run.request.ablation, edges, *estimates])
    return markdown(["task", "ablation", "edges", "KL (nats)", "faithfulness"], rows)
