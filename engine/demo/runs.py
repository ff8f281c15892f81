"""Compute the shipped runs in cached_runs/ anew (`make runs`).

Edge Pruning on the demo model, and every circuit evaluated under every other ablation, so that nothing has
to be computed when they are looked at.
"""

import shutil
import sys

from engine.ablations.base import ablations
from engine.experiments import run
from engine.request import Request
from engine.runs import SHIPPED_RUNS, RunStore

MODEL, METHOD = "explorer-4l", "edge-pruning"
SHIPPED = (
    ("ioi", "counterfactual"),
    ("greater-than", "counterfactual"),
    ("gendered-pronoun", "counterfactual"),
    ("facts", "counterfactual"),
    ("ioi", "mean"),
    ("ioi", "zero"),
)


def main() -> None:
    """Remove the shipped runs, which are under version control, and compute them."""
    shutil.rmtree(SHIPPED_RUNS, ignore_errors=True)
    store = RunStore(SHIPPED_RUNS)
    for task, ablation in SHIPPED:
        asked = Request(model=MODEL, task=task, method=METHOD, ablation=ablation)
        found = run(asked, _report, store)
        for other in ablations.names():
            if other != ablation:
                run(
                    Request(kind="evaluate", model=MODEL, task=task, ablation=other, circuit=found),
                    _report,
                    store,
                )
        summary = store.get(found).result["summary"]
        sys.stderr.write(f"{found}: {summary['n_edges']} edges, KL {summary['kl']['mean']:.4f}\n")


def _report(done: int, total: int, message: str) -> None:
    pass


if __name__ == "__main__":
    main()
