"""Look at the toy instrument of CONTRIBUTING from all sides, within a copy of the program that has it.

Arguments: the folder of a tiny model, and a folder for runs. Run by tests/test_contributing.py.
"""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

import engine
from engine.cli import main


def said(*words: str) -> str:
    """Return what a command prints on standard output."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        assert main([*words]) == 0, words
    return out.getvalue()


def drawn(house: Path, path: str, **query: str) -> AppTest:
    """Return a page by the path of its address."""
    at = AppTest.from_file(str(house / "app" / "shell.py"), default_timeout=60)
    at._page_hash = calc_hash(path)
    for key, value in query.items():
        at.query_params[key] = value
    at.run()
    assert not at.exception, at.exception
    return at


def check(house: Path, model: str, folder: Path) -> None:
    # Made by the test, in its copy alone.
    from engine.instruments.norms.instrument import Norms  # pyright: ignore[reportMissingImports]

    from app.runs import Shelf
    from app.views import pages, views
    from engine.experiments import lane
    from engine.jobs.queue import JobQueue
    from engine.runs.archive import pack, unpack
    from engine.runs.store import RunStore

    assert Path(engine.__file__).is_relative_to(house)
    # The command line.
    assert "Measure the weights of every layer." in said("--help")
    assert "--layers" in said("norms", "--help")
    found = json.loads(said("norms", "--model", model, "--layers", "2", "--json"))
    assert len(found["norms"]) == 2
    run_id = found["run_id"]
    assert run_id.startswith("norms-tiny-weights-none-")
    (row,) = [row for row in json.loads(said("list", "runs", "--json"))["runs"] if row["name"] == run_id]
    assert row["description"].startswith("2 layers, ")
    # The queue, among the jobs that somebody waits for.
    store = RunStore(folder)
    asked = Norms(model=model, layers=1)
    assert lane(asked, store) == "short"
    queue = JobQueue(store)
    try:
        job_id = queue.submit(asked)
        while queue.status(job_id).active:
            pass
        assert queue.status(job_id).state == "done", queue.status(job_id)
    finally:
        queue.close()
    # Its page, and the navigation.
    assert [page.title for page in pages()][-2:] == ["Norms", "Runs"]
    at = drawn(house, "norms", run="nosuch")
    assert "no run 'nosuch'" in at.warning[0].value
    assert at.button(key="norms-start").label == "Measure the weights"
    assert drawn(house, "norms", run=run_id).caption[-1].value.endswith(f"run {run_id}".replace("_", "\\_"))
    # Runs: the filter, the facts, and where it opens.
    at = drawn(house, "runs", kind="norms", selected=run_id)
    assert set(at.dataframe[0].value["run"]) == {run_id, job_id}
    facts = " ".join(str(table.value) for table in at.table)
    assert "largest norm" in facts
    assert "2 at most" in facts
    assert not at.button(key="runs-open").disabled
    run = store.get(run_id)
    address = views.get("norms").address(run, Shelf({run_id: run}, {}, []))
    assert address is not None
    assert address.query == {"run": run_id}
    # Import and export, and the table and picture of a notebook.
    packed = pack(store, run)
    store.delete(run_id)
    assert run_id not in store
    assert unpack(store, packed) == run_id
    answer = engine.open_run(run_id)
    assert list(answer.to_frame()["norm"]) == run.result.norms
    assert list(answer.run.request.facets()["task"]) == ["weights"]


if __name__ == "__main__":
    check(Path.cwd(), sys.argv[1], Path(sys.argv[2]))
    print("everything knows of it")
