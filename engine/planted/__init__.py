"""Small models with a circuit planted by hand-made weights, and the recovery of it by every method."""

from collections.abc import Callable

from engine.planted import conjunction, copying, lookup
from engine.planted.base import Planted

MODELS: dict[str, Callable[[], Planted]] = {
    "copying": copying.build,
    "lookup": lookup.build,
    "conjunction": conjunction.build,
}

__all__ = ["MODELS", "Planted"]
