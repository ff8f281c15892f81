"""What the tests of the queue ask for, and how they wait for it."""

import time
from collections.abc import Callable
from typing import Any

from engine.instruments.sweep.request import Sweep
from engine.jobs.queue import Job, JobQueue
from engine.runs.kinds import make_request
from engine.runs.request import OfACircuit
from engine.runs.store import RunStore

FAKE = "tests.jobs.fake_experiments"
LONG = 2000  # steps: longer than any test
OF_A_KIND: dict[str, dict[str, Any]] = {
    "discover": {"method": "edge-pruning"},
    "evaluate": {"circuit": "some-run"},
}


def request(seed: int = 0, steps: int = 5, kind: str = "discover", **settings: Any) -> OfACircuit:
    todo = {"steps": steps, **settings}
    about = {"model": "tiny", "task": "ioi", "ablation": "zero", "ablation_settings": todo, "seed": seed}
    return make_request(kind, **about, **OF_A_KIND[kind])


def sweep(steps: int, seeds: list[int], **settings: Any) -> Sweep:
    plan = {"methods": ["m"], "ablations": ["zero"], "tasks": ["ioi"], "seeds": seeds}
    about = {"model": "tiny", "task": "ioi", "ablation": "zero", "sweep": plan}
    return make_request("sweep", **about, ablation_settings={"steps": steps, **settings})


def wait(queue: JobQueue, job_id: str, until: Callable[[Job], bool], seconds: float = 30) -> Job:
    deadline = time.monotonic() + seconds
    while not until(job := queue.status(job_id)):
        assert time.monotonic() < deadline, f"still waiting: {job}"
        time.sleep(0.02)
    return job


def ended(job: Job) -> bool:
    return not job.active


def running(job: Job) -> bool:
    return job.state == "running" and job.done > 0


def starts(store: RunStore) -> list[list[int]]:
    """Return (seed, first step, threads, pid) of every start of the experiment."""
    return [
        [int(word) for word in line.split()] for line in (store.user_dir / "trace").read_text().splitlines()
    ]
