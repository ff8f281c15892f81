"""The request of importance."""

from typing import Literal

from engine.runs.request import OfAGraph


class Importance(OfAGraph, frozen=True):
    """Ablate every node of a model alone."""

    kind: Literal["importance"] = "importance"
