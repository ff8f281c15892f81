"""Computing the shipped runs in cached_runs/ anew (`make runs`); see `Instrument.ship`.

A run that is made of parts (a sweep over all methods, a repeated discovery) is shipped without the runs of
its parts. Those stay in `PARTS`, so that an interrupted computation continues where it stopped.
"""

import shutil
import sys
import time
from pathlib import Path

from dask.system import CPU_COUNT

from engine.experiments import completed, parts_of, run
from engine.instruments.base import in_order
from engine.jobs.queue import JobQueue
from engine.progress import silent
from engine.runs.request import Request
from engine.runs.store import SHIPPED_RUNS, RunStore

PARTS = SHIPPED_RUNS.parent / "build" / "parts"


def main() -> None:
    """Remove the shipped runs, which are under version control, and compute them."""
    shutil.rmtree(SHIPPED_RUNS, ignore_errors=True)
    ship(RunStore(SHIPPED_RUNS))


def ship(store: RunStore) -> None:
    """Compute the shipped runs that are not in `store` yet."""

    def carry_out(request: Request) -> str:
        request = completed(request, store)
        if parts_of(request, store):
            return by_way_of_others(store, request)
        run_id = run(request, silent, store)
        sys.stderr.write(f"{run_id}\n")
        return run_id

    for instrument in in_order():
        instrument.ship(store, carry_out)


def by_way_of_others(store: RunStore, request: Request) -> str:
    """Carry out a request that has parts, on every core, and put only its own run into `store`."""
    parts = RunStore(PARTS, store.user_dir)
    queue = JobQueue(parts, workers=CPU_COUNT)
    try:
        job_id = queue.submit(request)
        while (job := queue.status(job_id)).active:
            time.sleep(1)
    finally:
        queue.close()
    sys.stderr.write(f"{job_id}: {job.state} {job.error or ''}\n")
    part = parts.get(job_id)

    def copy(folder: Path) -> None:
        shutil.copytree(part.folder, folder, dirs_exist_ok=True)

    return store.put(copy)


if __name__ == "__main__":
    main()
