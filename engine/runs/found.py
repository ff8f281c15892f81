"""What an instrument finds: what is written into the run's folder."""

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.circuits.circuit import Circuit


@dataclass(frozen=True)
class Found:
    """What is written into the run folder: a part of result.json, tensors, a circuit.

    Attributes:
        result: fields of the instrument's result class; those that every result has are added.
        history: columns of numbers of a training; None where the result has none.
        discovered: when discovery was done and evaluation began, by `time.perf_counter`.
    """

    result: dict[str, Any]
    tensors: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    circuit: Circuit | None = None
    history: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    notes: list[str] = field(default_factory=list[str])
    discovered: float = field(default_factory=time.perf_counter)
