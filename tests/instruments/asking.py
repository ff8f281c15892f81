"""What tests of instruments ask a tiny model."""

import json
from pathlib import Path
from typing import Any

from engine import experiments
from engine.runs.kinds import make_request
from engine.runs.store import RunStore


def nothing(done: int, total: int, message: str) -> None:
    pass


def write_task(path: Path, n: int = 40) -> Path:
    """Pairs of two lengths; every third answer is one of two."""
    rows = [
        {
            "clean": f"w{i} w{i % 7 + 40} w3" + " w5" * (i % 2),
            "corrupt": f"w{i} w{i % 5 + 50} w3" + " w5" * (i % 2),
            "answers": [f" w{i % 3 + 6}"] + [" w9"] * (i % 3 == 0),
            "wrong_answers": [f" w{i % 3 + 10}"],
        }
        for i in range(n)
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def ask(model: Path, task: str, kind: str, **fields: Any) -> Any:
    return make_request(kind, **{"model": str(model), "task": task, "ablation": "counterfactual"} | fields)


def discovered(store: RunStore, model: Path, task: str, **settings: Any) -> str:
    chosen = {"steps": 20, "batch_size": 8} | settings
    request = ask(model, task, "discover", method="edge-pruning", settings=chosen, edges=60)
    return experiments.run(request, nothing, store)
