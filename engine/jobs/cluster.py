"""The scheduler and worker processes of a server without an external cluster.

They communicate over TLS with certificates that exist only in memory. Otherwise anybody who reaches the
scheduler could make it run any code, and other users of the machine do reach its loopback address.
"""

import logging
from typing import Any, cast

from distributed import Nanny, Scheduler, SpecCluster
from distributed.security import Security

from engine.jobs.worker import LONG, SHORT
from engine.threads import fix_threads


def local_cluster(long: int = 1) -> SpecCluster:
    """Start a scheduler in this process, `long` worker processes for long jobs, and one for short jobs.

    The processes for long jobs share the cores. A client needs the cluster's `security` to connect.
    """
    threads = str(max(1, fix_threads() // long))
    security: Security = cast("Any", Security).temporary()
    address = {"host": "127.0.0.1", "protocol": "tls://", "security": security}
    common: dict[str, Any] = {
        **address,
        "nthreads": 1,
        "memory_limit": None,  # the memory a job may take is estimated before it starts
        "dashboard_address": "127.0.0.1:0",
        "silence_logs": logging.WARNING,
        "env": {
            **{f"{library}_NUM_THREADS": threads for library in ("OMP", "MKL", "OPENBLAS")},
            "TQDM_DISABLE": "1",  # the libraries' own progress bars
        },
    }
    return SpecCluster(
        scheduler={
            "cls": Scheduler,
            "options": {**address, "port": 0, "dashboard_address": "127.0.0.1:0"},
        },
        workers={
            f"{lane}-{i}": {"cls": Nanny, "options": {**common, "resources": {lane: 1}}}
            for lane, count in ((LONG, long), (SHORT, 1))
            for i in range(count)
        },
        security=security,
        silence_logs=logging.WARNING,  # pyright: ignore[reportArgumentType] - a level, as LocalCluster gives
    )
