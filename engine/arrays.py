"""Types of numpy arrays: flags, integers and numbers."""

from typing import Any

import numpy as np
import numpy.typing as npt

Flags = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.integer[Any]]
Numbers = npt.NDArray[np.floating[Any]]
