"""The number of torch's threads, the same in all processes, since sums of floats depend on it."""

import os

from dask.system import CPU_COUNT


def fix_threads() -> int:
    """Fix the number of torch's threads in this process and its children, and return it.

    Sums of floats depend on this number, so the command line and every worker use the same. This must be
    called before torch is imported. A number set in the environment is kept.
    """
    return int(os.environ.setdefault("OMP_NUM_THREADS", str(CPU_COUNT)))
