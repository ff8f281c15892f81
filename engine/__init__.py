"""The engine of Circuit Explorer: models, tasks, ablations, circuit discovery and evaluation.

The engine uses torch; it imports neither streamlit nor plotly. In a notebook:

    import engine

    model = engine.load_model("explorer-4l")
    circuit = engine.discover(model, "ioi", method="eap", ablation="mean")
    circuit.to_frame()
    circuit.figure()

These functions lie in `engine.api` and are imported when they are first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.api import (
        Answer,
        discover,
        evaluate,
        importance,
        list_runs,
        load_model,
        load_task,
        open_run,
        read_lens,
        trace,
    )

__all__ = [
    "Answer",
    "discover",
    "evaluate",
    "importance",
    "list_runs",
    "load_model",
    "load_task",
    "open_run",
    "read_lens",
    "trace",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'engine' has no attribute '{name}'")
    import importlib

    api = importlib.import_module("engine.api")
    globals().update({name: getattr(api, name) for name in __all__})
    return globals()[name]


def __dir__() -> list[str]:
    return __all__
