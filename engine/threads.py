"""The number of threads torch computes with: sums of floats depend on it, so it is the same everywhere."""

import os

from dask.system import CPU_COUNT


def fix_threads() -> int:
    """Fix the number of threads torch will take in this process and its children, and return it.

    Sums of floats depend on it, so the command line and every worker use the same one. To be called before
    torch is imported; a number that is set in the environment stays.
    """
    return int(os.environ.setdefault("OMP_NUM_THREADS", str(CPU_COUNT)))
