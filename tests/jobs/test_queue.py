"""The queue, with real worker processes and a made-up experiment."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from distributed import Nanny, Scheduler, SpecCluster

from engine.errors import CircuitExplorerError, RequestError
from engine.jobs.cluster import local_cluster
from engine.jobs.journal import Entry, Journal
from engine.jobs.queue import KEPT, Job, JobQueue
from engine.runs.request import Request, Sweep
from engine.runs.store import RunStore
from tests.jobs.fake_experiments import write

FAKE = "tests.jobs.fake_experiments"
LONG = 2000  # steps: longer than any test


def request(seed: int = 0, steps: int = 5, kind: str = "discover", **settings: Any) -> Request:
    return Request.model_validate(
        {
            "kind": kind,
            "model": "tiny",
            "task": "ioi",
            "ablation": "zero",
            "method": "edge-pruning",
            "circuit": "some-run" if kind == "evaluate" else None,
            "seed": seed,
            "settings": {"steps": steps, **settings},
        }
    )


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs", tmp_path / "shipped")


@pytest.fixture
def queue(store: RunStore) -> Iterator[JobQueue]:
    queue = JobQueue(store, FAKE)
    yield queue
    queue.close()


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


def test_a_job_reports_and_leaves_a_run(queue: JobQueue, store: RunStore):
    job_id = queue.submit(request(steps=30))
    seen = wait(queue, job_id, running)
    assert (seen.total, seen.message) == (30, f"step {seen.done}")
    done = wait(queue, job_id, ended)
    assert (done.state, done.done, done.total) == ("done", 30, 30)
    assert done.log[0].message == "starting"
    assert done.log[1].message == f"step {done.log[1].done}"
    assert [line.done for line in done.log] == sorted(line.done for line in done.log)
    assert done.submitted <= done.log[0].when + 1 <= done.log[-1].when + 1 <= time.time() + 1
    assert store.get(job_id).request == request(steps=30)
    assert not (store.user_dir / ".checkpoints" / job_id).exists()


def test_the_log_of_a_long_job_is_thinned_and_covers_all_of_it(queue: JobQueue, monkeypatch):
    monkeypatch.setattr("engine.jobs.queue.LOGGED", 6)
    log = wait(queue, queue.submit(request(steps=60)), ended).log
    assert len(log) <= 7
    assert [line.message for line in log[:1]] == ["starting"]
    assert [line.done > 50 for line in log[-1:]] == [True]


def test_the_same_request_twice_is_one_job(queue: JobQueue, store: RunStore):
    job_id = queue.submit(request(steps=20))
    assert queue.submit(request(steps=20)) == job_id
    wait(queue, job_id, ended)
    assert queue.submit(request(steps=20)) == job_id
    assert queue.status(job_id).state == "done"
    assert len(queue.jobs()) == len(starts(store)) == 1


def test_cancelling_a_running_and_a_queued_job(queue: JobQueue, store: RunStore):
    first, second, third = (queue.submit(request(seed=seed, steps=LONG)) for seed in range(3))
    wait(queue, first, running)
    assert [queue.status(job_id).position for job_id in (first, second, third)] == [0, 1, 2]
    assert [job.job_id for job in queue.jobs()] == [third, second, first]

    queue.cancel(second)
    assert wait(queue, second, ended, seconds=5).state == "cancelled"
    assert queue.status(third).position == 1
    queue.cancel(first)
    assert wait(queue, first, ended, seconds=5).state == "cancelled"
    wait(queue, third, running)
    queue.cancel(third)
    wait(queue, third, ended, seconds=5)
    assert store.list() == []
    assert [start[0] for start in starts(store)] == [0, 2], "the second job never started"
    assert not any((store.user_dir / ".checkpoints").iterdir())


def test_a_cancelled_request_can_be_asked_for_again(queue: JobQueue):
    job_id = queue.submit(request(steps=40))
    wait(queue, job_id, running)
    queue.cancel(job_id)
    queue.submit(request(steps=40))
    assert queue.status(job_id).active
    assert wait(queue, job_id, ended).state == "done"


def test_an_evaluation_does_not_wait_for_a_discovery(queue: JobQueue):
    long = queue.submit(request(steps=LONG))
    wait(queue, long, running)
    short = queue.submit(request(kind="evaluate"))
    assert queue.status(short).position == 0
    assert wait(queue, short, ended).state == "done"
    assert queue.status(long).state == "running"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("request", "one clear line"),
        ("memory", "one clear line"),
        ("bug", "unexpected failure, the log has more: ZeroDivisionError: one line"),
    ],
)
def test_errors_arrive_as_one_line(
    queue: JobQueue, kind: str, message: str, caplog: pytest.LogCaptureFixture
):
    job_id = queue.submit(request(fail_at=2, raises=kind))
    job = wait(queue, job_id, ended)
    assert (job.state, job.error) == ("failed", message)
    assert ("ZeroDivisionError" in caplog.text) == (kind == "bug")


def test_a_failed_job_can_be_submitted_again_and_goes_on(queue: JobQueue, store: RunStore):
    failed = wait(queue, queue.submit(request(fail_at=2, raises="request")), ended)
    assert queue.submit(failed.request) == failed.job_id
    assert queue.status(failed.job_id).active
    assert queue.status(failed.job_id).error is None
    assert wait(queue, failed.job_id, ended).state == "failed"
    assert [first for _, first, _, _ in starts(store)] == [0, 2]
    assert len(queue.jobs()) == 1


def test_a_wrong_request_is_refused_at_once(queue: JobQueue):
    with pytest.raises(RequestError, match="unknown model"):
        queue.submit(request().model_copy(update={"model": "huge"}))
    with pytest.raises(RequestError, match="unknown job"):
        queue.status("nothing")
    with pytest.raises(RequestError, match="unknown job"):
        queue.cancel("nothing")
    assert queue.jobs() == []


def test_a_killed_worker_goes_on_from_the_checkpoint(queue: JobQueue, store: RunStore):
    job_id = queue.submit(request(steps=30, pause=0.02))
    wait(queue, job_id, running)
    ((_, _, _, pid),) = starts(store)
    os.kill(pid, signal.SIGKILL)
    assert wait(queue, job_id, ended).state == "done"
    before, after = starts(store)
    assert before[3] != after[3], "another process"
    assert after[1] > 0, "not from the beginning"
    assert before[2] == after[2], "with as many threads"


def test_a_job_that_kills_its_worker_again_and_again_fails_alone(queue: JobQueue):
    deadly = queue.submit(request(seed=1, steps=5, kill_at=2, always=True))
    innocent = queue.submit(request(seed=2))
    job = wait(queue, deadly, ended, seconds=60)
    assert job.state == "failed"
    assert "worker process died" in (job.error or "")
    assert wait(queue, innocent, ended).state == "done"


def test_a_new_server_goes_on_with_the_jobs_of_one_that_was_stopped(store: RunStore):
    first = JobQueue(store, FAKE)
    ids = [first.submit(request(seed=seed, steps=40)) for seed in range(2)]
    wait(first, ids[0], running)
    first.close()
    second = JobQueue(store, FAKE)
    try:
        assert [job.job_id for job in second.jobs()] == ids[::-1]
        assert [wait(second, job_id, ended).state for job_id in ids] == ["done", "done"]
        assert [start[0] for start in starts(store)] == [0, 0, 1]
        assert starts(store)[1][1] > 0, "not from the beginning"
    finally:
        second.close()
    third = JobQueue(store, FAKE)
    assert third.jobs() == []
    third.close()


SERVER = f"""
import sys, time
from pathlib import Path
from engine.jobs.cluster import local_cluster
from engine.jobs.queue import JobQueue
from engine.runs.store import RunStore
from tests.jobs.test_queue import request, running, wait

if __name__ == "__main__":
    queue = JobQueue(RunStore(Path(sys.argv[1]), Path(sys.argv[2])), "{FAKE}")
    wait(queue, queue.submit(request(steps={LONG})), running)
    print("running", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_server_that_ends_loses_nothing_and_a_living_one_keeps_its_jobs(
    store: RunStore, end: signal.Signals
):
    command = [sys.executable, "-c", SERVER, str(store.user_dir), str(store.shipped_dir)]
    server = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
        start_new_session=True,
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == b"running\n"
        beside = JobQueue(store, FAKE)
        assert beside.jobs() == [], "the other server is alive and has its own jobs"
        beside.close()
        if end == signal.SIGINT:
            os.killpg(server.pid, end)  # Ctrl-C reaches the workers as well
        else:
            server.send_signal(end)
        server.wait(timeout=30)
    finally:
        server.kill()
        server.communicate()
    after = JobQueue(store, FAKE)
    (job,) = after.jobs()
    wait(after, job.job_id, running)
    assert starts(store)[-1][1] > 0, "not from the beginning"
    after.cancel(job.job_id)
    assert wait(after, job.job_id, ended).state == "cancelled"
    after.close()
    assert not list((store.user_dir / ".jobs").glob("*/*.json"))


def test_a_cluster_of_one_s_own(store: RunStore, monkeypatch: pytest.MonkeyPatch):
    options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    worker = {"cls": Nanny, "options": {**options, "nthreads": 1, "resources": {"gpu": 1}}}
    scheduler = {"cls": Scheduler, "options": options | {"port": 0}}
    with closing(SpecCluster(workers={0: worker}, scheduler=scheduler)) as cluster:
        monkeypatch.setenv("CIRCUIT_EXPLORER_SCHEDULER", cluster.scheduler_address)
        queue = JobQueue(store, FAKE)
        evaluation = queue.submit(request(kind="evaluate"))
        assert wait(queue, evaluation, ended).state == "done"
        left = queue.submit(request(steps=30))
        wait(queue, left, running)
        queue.close()
        time.sleep(0.5)
        back = JobQueue(store, FAKE)
        assert [job.job_id for job in back.jobs()] == [left]
        assert wait(back, left, ended).state == "done"
        assert len(starts(store)) == 2, "the cluster went on with the job meanwhile"
        back.close()


def test_a_scheduler_that_does_not_answer_is_told_in_one_line(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("engine.jobs.queue.PATIENCE", 0.5)
    monkeypatch.setenv("CIRCUIT_EXPLORER_SCHEDULER", "tcp://127.0.0.1:9")
    queue = JobQueue(store, FAKE)
    with pytest.raises(CircuitExplorerError, match="no scheduler answers at 'tcp://"):
        queue.submit(request())
    assert queue.jobs() == []
    queue.close()

    Journal(store.user_dir / ".jobs").add("left", Entry(request(steps=3), "left-over"))
    (job,) = (unable := JobQueue(store, FAKE)).jobs()
    unable.close()
    assert (job.state, job.error) == ("failed", "no scheduler answers at 'tcp://127.0.0.1:9'")
    monkeypatch.delenv("CIRCUIT_EXPLORER_SCHEDULER")
    able = JobQueue(store, FAKE)
    assert wait(able, job.job_id, ended).state == "done"
    able.close()


def test_runs_that_cannot_be_written_are_told_at_once(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    queue = JobQueue(RunStore(tmp_path / "file" / "runs", tmp_path / "shipped"), FAKE)
    assert queue.jobs() == []
    with pytest.raises(RequestError, match="runs cannot be written to"):
        queue.submit(request())
    queue.close()


def test_nobody_else_on_the_machine_reaches_the_scheduler():
    stranger = ssl.create_default_context()
    stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
    with closing(local_cluster()) as cluster:
        scheme, host, port = str(cluster.scheduler_address).replace("//", "").split(":")
        assert (scheme, host) == ("tls", "127.0.0.1")
        with (
            socket.create_connection((host, int(port)), timeout=10) as plain,
            pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"),
            stranger.wrap_socket(plain) as encrypted,
        ):
            encrypted.recv(1)


def test_only_the_last_jobs_are_remembered(queue: JobQueue, store: RunStore):
    for seed in range(KEPT + 5):
        write(store, request(seed))
        queue.submit(request(seed))
    assert len(queue.jobs()) == KEPT
    assert queue.jobs()[0].request.seed == KEPT + 4


def test_what_a_failed_job_left_is_cleared_after_a_month(store: RunStore):
    old, young = (store.user_dir / ".checkpoints" / name for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
    long_ago = time.time() - 40 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    JobQueue(store, FAKE).close()
    assert young.exists()
    assert not old.exists()


def sweep(steps: int, seeds: list[int], **settings: Any) -> Request:
    plan = Sweep(methods=["m"], ablations=["zero"], tasks=["ioi"], seeds=seeds)
    return request(steps=steps, **settings).model_copy(update={"kind": "sweep", "sweep": plan})


def test_a_sweep_is_done_by_way_of_its_parts_and_tells_how_far_it_is(queue: JobQueue, store: RunStore):
    asked = sweep(12, [1, 2, 3])
    job = wait(queue, queue.submit(asked), ended)
    assert job.state == "done"
    found = store.get(job.job_id)
    assert [row["seed"] for row in found.result["rows"]] == [1, 2, 3]
    assert [start[0] for start in starts(store)] == [1, 2, 3]
    of_parts = [line for line in job.log if "part" in line.message]
    shares = [line.done / line.total for line in of_parts]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert of_parts[-1].message.startswith("3 of 3 done")


def test_a_part_that_cannot_be_carried_out_does_not_stop_the_others(queue: JobQueue, store: RunStore):
    for raises, said in (("request", "one clear line"), ("bug", "unexpected failure")):
        asked = sweep(4, [1, 2], fail_at=2, raises=raises, only_seed=1)
        job = wait(queue, queue.submit(asked), ended)
        assert job.state == "done"
        first, second = (row["error"] for row in store.get(job.job_id).result["rows"])
        assert first.startswith(said)
        assert second is None


def test_cancelling_a_sweep_stops_its_parts(queue: JobQueue, store: RunStore):
    job_id = queue.submit(sweep(400, [1, 2, 3]))
    wait(queue, job_id, running)
    queue.cancel(job_id)
    assert wait(queue, job_id, ended).state == "cancelled"
    time.sleep(0.5)
    assert len({start[0] for start in starts(store)}) < 3
    assert job_id not in store


def test_a_cancelled_job_is_not_gone_on_with_by_the_next_server(store: RunStore):
    queue = JobQueue(store, FAKE)
    job_id = queue.submit(sweep(400, [1, 2]))
    wait(queue, job_id, running)
    queue.cancel(job_id)
    queue.close()
    after = JobQueue(store, FAKE)
    assert after.jobs() == []
    after.close()


def test_one_job_that_cannot_be_gone_on_with_does_not_stop_the_others(store: RunStore):
    store.user_dir.mkdir(parents=True)
    former = Journal(store.user_dir / ".jobs")
    bad = sweep(3, [1]).model_copy(update={"model": "gone"})
    for asked in (bad, request(steps=3, seed=7)):
        former.add(asked.run_id(), Entry(asked, f"{asked.run_id()}-0"))
    former.close()
    queue = JobQueue(store, FAKE)
    states = {job.request.model: wait(queue, job.job_id, ended).state for job in queue.jobs()}
    assert states == {"gone": "failed", "tiny": "done"}
    queue.close()


def test_a_part_whose_worker_is_killed_goes_on(queue: JobQueue, store: RunStore):
    job = wait(queue, queue.submit(sweep(8, [1], kill_at=4)), ended)
    assert job.state == "done", job.error
    assert [start[1] for start in starts(store)][:2] == [0, 4]
