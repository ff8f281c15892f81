"""The findings of an instrument, which are written into the run folder."""

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.circuits.circuit import Circuit


@dataclass(frozen=True)
class Found:
    """The findings of an instrument, for the run folder.

    Attributes:
        result: fields of the instrument's result class; the fields of every result are added later.
        tensors: arrays by name.
        circuit: the circuit at the requested size, for a run with a graph of its own.
        history: columns of numbers of a training.
        notes: sentences for the user.
        discovered: time at which discovery ended and evaluation began, by `time.perf_counter`.
    """

    result: dict[str, Any]
    tensors: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    circuit: Circuit | None = None
    history: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    notes: list[str] = field(default_factory=list[str])
    discovered: float = field(default_factory=time.perf_counter)
