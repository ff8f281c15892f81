"""The queue, with real worker processes and a made-up experiment."""

import os
import signal
import time

import pytest

from engine.errors import RequestError
from engine.jobs.queue import KEPT, JobQueue
from engine.runs.store import RunStore
from tests.jobs.fake_experiments import write
from tests.jobs.watching import LONG, ended, request, running, starts, sweep, wait


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


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_jobs_wait_for_those_of_their_own_lane_alone(queue: JobQueue, store: RunStore):
    long, next_long = (queue.submit(request(seed=seed, steps=LONG)) for seed in (0, 1))
    short, next_short = (queue.submit(request(seed, LONG, "evaluate")) for seed in (2, 3))
    for job_id in (long, short):
        wait(queue, job_id, running)
    assert [queue.status(job_id).position for job_id in (long, next_long, short, next_short)] == [0, 1, 0, 1]
    assert [queue.status(job_id).state for job_id in (next_long, next_short)] == ["queued", "queued"]
    assert sorted(start[0] for start in starts(store)) == [0, 2]

    queue.cancel(short)
    wait(queue, next_short, running)
    assert (queue.status(next_long).state, queue.status(next_long).position) == ("queued", 1)
    queue.cancel(long)
    wait(queue, next_long, running)
    assert queue.status(next_short).state == "running"
    assert sorted(start[0] for start in starts(store)) == [0, 1, 2, 3]
    for job_id in (next_long, next_short):
        queue.cancel(job_id)
        wait(queue, job_id, ended)


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


@pytest.mark.slow
def test_a_job_that_kills_its_worker_again_and_again_fails_alone(queue: JobQueue):
    deadly = queue.submit(request(seed=1, steps=5, kill_at=2, always=True))
    innocent = queue.submit(request(seed=2))
    job = wait(queue, deadly, ended, seconds=60)
    assert job.state == "failed"
    assert "worker process died" in (job.error or "")
    assert wait(queue, innocent, ended).state == "done"


def test_only_the_last_jobs_are_remembered(queue: JobQueue, store: RunStore):
    for seed in range(KEPT + 5):
        write(store, request(seed))
        queue.submit(request(seed))
    assert len(queue.jobs()) == KEPT
    assert queue.jobs()[0].request.seed == KEPT + 4


@pytest.mark.slow
def test_a_sweep_is_done_by_way_of_its_parts_and_tells_how_far_it_is(queue: JobQueue, store: RunStore):
    asked = sweep(12, [1, 2, 3])
    job = wait(queue, queue.submit(asked), ended)
    assert job.state == "done"
    found = store.get(job.job_id)
    assert [row.seed for row in found.result.rows] == [1, 2, 3]
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
        first, second = (row.error for row in store.get(job.job_id).result.rows)
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


def test_a_part_whose_worker_is_killed_goes_on(queue: JobQueue, store: RunStore):
    job = wait(queue, queue.submit(sweep(8, [1], kill_at=4)), ended)
    assert job.state == "done", job.error
    assert [start[1] for start in starts(store)][:2] == [0, 4]
