"""Estimates as arrays, for figures."""

from collections.abc import Sequence

import numpy as np

from engine.runs.record import Estimate, Share


def numbers_of(estimates: Sequence[Estimate | Share | None]) -> np.ndarray:
    """Return means and the ends of their intervals, [3, n]; nan where there are none."""
    nothing = (None, None, None)
    rows = [nothing if estimate is None else (estimate.mean, *estimate.ci95) for estimate in estimates]
    return np.array(rows, dtype=float).reshape(-1, 3).T
