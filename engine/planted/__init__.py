"""Small models whose circuit is planted by hand-made weights, and how well every method finds it."""

from collections.abc import Callable

from engine.planted import conjunction, copying, lookup
from engine.planted.base import Planted

MODELS: dict[str, Callable[[], Planted]] = {
    "copying": copying.build,
    "lookup": lookup.build,
    "conjunction": conjunction.build,
}

__all__ = ["MODELS", "Planted"]
