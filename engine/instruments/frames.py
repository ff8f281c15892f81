"""Tables of results for notebooks: one value per cell, intervals in columns of their own."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.circuits.circuit import Circuit
from engine.runs.record import Estimate, Form, Share

# pandas has no stubs.
# pyright: reportMissingTypeStubs=false

if TYPE_CHECKING:
    from pandas import DataFrame


def frame(rows: Iterable[Mapping[str, Any]]) -> "DataFrame":
    """Return a table of rows."""
    import pandas as pd  # takes a while to import, and most commands do without

    return pd.DataFrame(list(rows))


def edge_frame(circuit: Circuit) -> "DataFrame":
    """Return every edge of a circuit's graph: "edge", "score", "in_graph"."""
    import pandas as pd

    names, scores, kept = circuit.graph.edge_names, circuit.scores, circuit.kept
    return pd.DataFrame({"edge": names, "score": scores, "in_graph": kept})


def metrics_frame(points: Sequence[Form]) -> "DataFrame":
    """Return a row for every point: its sizes, and every metric with its interval."""
    return frame(point_columns(point) for point in points)


def point_columns(point: Form) -> dict[str, Any]:
    """Return the fields of a point as columns, estimates as three: the mean, "<name>_low", "<name>_high"."""
    columns: dict[str, Any] = {}
    for name in type(point).model_fields:
        value = getattr(point, name)
        columns |= estimate_columns({name: value}) if isinstance(value, Estimate | Share) else {name: value}
    return columns


def estimate_columns(estimates: Mapping[str, Estimate | Share]) -> dict[str, float | None]:
    """Return estimates as columns, three each: the mean, "<name>_low", "<name>_high"."""
    columns: dict[str, float | None] = {}
    for name, estimate in estimates.items():
        low, high = estimate.ci95
        columns |= {name: estimate.mean, f"{name}_low": low, f"{name}_high": high}
    return columns
