"""Servers that end and begin: what is left to the next one, and where their jobs are carried out."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from distributed import Nanny, Scheduler, SpecCluster

from engine.errors import CircuitExplorerError, RequestError
from engine.jobs.cluster import local_cluster
from engine.jobs.journal import Entry, Journal
from engine.jobs.queue import JobQueue
from engine.runs.store import RunStore
from tests.jobs.watching import FAKE, LONG, ended, request, running, starts, sweep, wait

pytestmark = pytest.mark.slow

SCHEMA_1: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "runs" / "schema_1.json").read_text(encoding="utf-8")
)


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


def left_behind(store: RunStore, entry: dict[str, Any]) -> Path:
    """Write an unfinished job into the journal as the version of schema 1 left it."""
    folder = store.user_dir / ".jobs" / "a-server-that-is-gone"
    folder.mkdir(parents=True, exist_ok=True)
    content = {"request": entry["request"], "key": f"{entry['run_id']}-0"}
    (folder / f"{entry['run_id']}.json").write_text(json.dumps(content))
    return folder.parent


@pytest.mark.parametrize("entry", SCHEMA_1, ids=lambda entry: entry["run_id"])
def test_a_job_in_the_journal_of_the_version_before_keeps_its_id(store: RunStore, entry: dict[str, Any]):
    journal = Journal(left_behind(store, entry))
    (adopted,) = journal.adopt()
    journal.close()
    assert (adopted.request.kind, adopted.request.run_id()) == (entry["request"]["kind"], entry["run_id"])
    assert adopted.key == f"{entry['run_id']}-0"
    (again,) = Journal(store.user_dir / ".jobs").adopt()
    assert again == adopted, "nor does it lose anything when it is written anew"


def test_a_job_of_the_version_before_is_gone_on_with(store: RunStore):
    entry = next(entry for entry in SCHEMA_1 if entry["request"]["kind"] == "discover")
    left_behind(store, entry)
    with closing(JobQueue(store, FAKE)) as queue:
        (job,) = queue.jobs()
        assert job.job_id == entry["run_id"]
        assert wait(queue, job.job_id, ended).state == "done"
    assert entry["run_id"] in store
    assert not list((store.user_dir / ".jobs").glob("*/*.json"))


SERVER = f"""
import sys, time
from pathlib import Path
from engine.jobs.cluster import local_cluster
from engine.jobs.queue import JobQueue
from engine.runs.store import RunStore
from tests.jobs.watching import request, running, wait

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


def test_what_a_failed_job_left_is_cleared_after_a_month(store: RunStore):
    old, young = (store.user_dir / ".checkpoints" / name for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
    long_ago = time.time() - 40 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    JobQueue(store, FAKE).close()
    assert young.exists()
    assert not old.exists()


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
