"""The wiring of the Runs page; selecting rows by hand and downloads are tested in browser/."""

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app import runs as data
from engine.circuits.graph import Graph
from engine.errors import RequestError
from engine.instruments.discover.request import Discover
from engine.instruments.importance.request import Importance
from engine.jobs.job import Job, Reported
from engine.runs.archive import pack
from engine.runs.export import to_json
from engine.runs.notes import Notes, read_notes, write_notes
from engine.runs.request import Request
from engine.runs.store import RunStore
from tests.app.drawing import go_to, open_page, text
from tests.app.fake_composite import write_fake_stability, write_fake_sweep
from tests.app.fake_run import write_fake_answer, write_fake_run


class FakeQueue:
    """A queue that carries nothing out."""

    def __init__(self, *jobs: Job) -> None:
        self._jobs = list(jobs)
        self.submitted: list[Request] = []
        self.problem: str | None = None

    def jobs(self) -> list[Job]:
        return self._jobs

    def submit(self, request: Request) -> str:
        if self.problem is not None:
            raise RequestError(self.problem)
        self.submitted.append(request)
        return "submitted"

    def status(self, job_id: str) -> Job:
        return job("running", self.submitted[-1])

    def cancel(self, job_id: str) -> None:
        self._jobs = [job for job in self._jobs if job.job_id != job_id]


def job(state: str, request: Request | None = None, **changes) -> Job:
    fields = {
        "job_id": f"job-{state}",
        "request": request or asked(),
        "state": state,
        "position": 0,
        "done": 0,
        "total": 0,
        "message": "",
        "error": None,
        "submitted": 1_700_000_000.0,
    }
    return Job(**fields | changes)


def asked(**changes) -> Request:
    fields = {"model": "explorer-4l", "task": "ioi", "ablation": "zero", "method": "edge-pruning"}
    return Discover.model_validate(fields | changes)


@pytest.fixture(autouse=True)
def fresh_caches():
    """Caches outlive a test; the folder of runs does not."""
    import streamlit as st

    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture
def store(own_runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    """A store whose shipped runs are those that a test ships."""
    store = RunStore(own_runs_dir, tmp_path / "shipped")
    monkeypatch.setattr(data, "RunStore", lambda: store)
    return store


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> FakeQueue:
    queue = FakeQueue()
    for module in ("parts.jobs", "runs_page.queue", "runs_page.upload"):
        monkeypatch.setattr(f"app.{module}.queue", lambda: queue)
    return queue


def ship(store: RunStore, **request) -> str:
    return write_fake_run(RunStore(store.shipped_dir), **request)


def page(**query: str) -> AppTest:
    return open_page("runs", **query)


def listed(at: AppTest) -> list[str]:
    """The ids of the runs in the table, in order."""
    return list(at.dataframe[0].value["run"])


def disabled(at: AppTest) -> dict[str, bool]:
    return {name: at.button(key=f"runs-{name}").disabled for name in ("open", "compare", "rename", "delete")}


def press(at: AppTest, opener: str, key: str) -> None:
    """Press a button in a dialog, which for AppTest is open while its opener is pressed, and no longer."""
    at.button(key=opener).click()
    at.button(key=key).click().run()
    assert not at.exception, at.exception


def test_without_runs_the_page_says_what_to_do(store, jobs):
    at = page()
    assert "no finished run" in at.info[0].value
    assert "Nothing is running" in text(at)
    assert not at.dataframe


def test_at_first_the_runs_with_graphs_are_listed_newest_first(store, jobs):
    shipped = ship(store)
    own = write_fake_run(store, ablation="mean")
    imported = write_fake_run(store, kind="import", circuit="ab" * 32)
    evaluation = write_fake_run(store, kind="evaluate", ablation="zero", circuit=own)
    at = page()
    assert set(listed(at)) == {shipped, own, imported}
    table = at.dataframe[0].value
    assert {"kind", "origin"} <= set(table)
    assert "model" not in table, "all are of the same"
    assert list(table["faithfulness"].round(2)) == [0.93] * 3
    at.pills(key="runs-kind").set_value(["evaluate"]).run()
    assert listed(at) == [evaluation]
    at.pills(key="runs-kind").set_value([]).run()
    assert len(listed(at)) == 4
    row = at.dataframe[0].value.set_index("run").loc[evaluation]
    assert (row["ablation"], row["of"]) == ("Zero", f"mean · {own.rsplit('-', 1)[-1]}")


def test_columns_without_anything_in_them_are_left_out(store, jobs):
    origin = write_fake_run(store)
    request = Importance(model="explorer-4l", task="ioi", ablation="zero")
    write_fake_answer(store, request)
    at = page(kind="importance")
    assert listed(at) == [request.run_id()]
    assert not {"edges", "kl", "faithfulness"} & set(at.dataframe[0].value)
    at = page(kind="importance,discover")
    assert set(listed(at)) == {request.run_id(), origin}
    assert {"edges", "kl", "faithfulness", "kind"} <= set(at.dataframe[0].value)
    assert "ablated one by one" in str(page(selected=request.run_id(), kind="importance").table[0].value)


def test_a_sweep_is_listed_explained_and_opened_on_compare(store, jobs, monkeypatch):
    sweep = write_fake_sweep(store, tasks=("ioi", "facts"), failed=[("ugs", 1)], runs=False)
    own = write_fake_run(store, method="edge-pruning")
    at = page(kind="sweep,discover", selected=sweep)
    row = at.dataframe[0].value.set_index("run").loc[sweep]
    assert (row["kind"], row["ablation"]) == ("Sweep", "Counterfactual, Mean")
    assert row["method"] == "EAP, UGS, Random"
    assert "Indirect objects" in row["name"]
    assert "Facts" in row["name"]
    told = "".join(str(table.value) for table in at.table)
    for part in ("24", "4 of 24", "ugs found", "seeds 0, 1", "1,519 edges", "Counterfactual, Mean"):
        assert part in told
    assert disabled(at) == {"open": False, "compare": True, "rename": False, "delete": False}
    assert set(listed(page(kind="sweep,discover", ablation="mean"))) == {sweep}
    assert set(listed(page(kind="sweep,discover", method="edge-pruning"))) == {own}
    assert went(at, monkeypatch) == ("compare/page.py", {"sweep": sweep})


def test_stability_is_listed_explained_and_opens_the_run_that_was_repeated(store, jobs, monkeypatch):
    own = write_fake_run(store, ablation="mean")
    stability = write_fake_stability(store, own)
    at = page(kind="stability,discover", selected=stability)
    row = at.dataframe[0].value.set_index("run").loc[stability]
    assert (row["kind"], row["of"]) == ("Stability", f"mean · {own.rsplit('-', 1)[-1]}")
    told = "".join(str(table.value) for table in at.table)
    for part in ("0.03 to 0.05 nats", "0.05 by chance", own, "seeds 1, 2, 3", "2 parts"):
        assert part in told
    assert went(at, monkeypatch) == ("explore/page.py", {"run": own})
    assert "stability under mean" in text(page(selected=own))


def went(at: AppTest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict[str, str]]:
    """Press "Open" and return the page that leads to, with its parameters."""
    to: list[tuple[str, dict[str, str]]] = []
    monkeypatch.setattr(
        "app.runs_page.actions.st.switch_page", lambda page, query_params: to.append((page, query_params))
    )
    at.button(key="runs-open").click().run()
    return to[0]


def test_filters_narrow_what_is_listed(store, jobs):
    shipped = ship(store)
    own = write_fake_run(store, ablation="mean", model="other-model")
    write_notes(store, store.get(own), Notes("Für Anna"))
    assert listed(page(text="anna")) == [own]
    assert listed(page(text="indirect OTHER")) == [own]
    assert listed(page(origin="shipped")) == [shipped]
    assert listed(page(ablation="mean")) == [own]
    assert listed(page(model="explorer-4l")) == [shipped]
    at = page(model="explorer-4l", ablation="mean")
    assert "No run passes" in at.info[0].value
    at.button(key="runs-no-filter").click().run()
    assert set(listed(at)) == {shipped, own}


def test_a_url_with_nonsense_lists_everything(store, jobs):
    run_id = write_fake_run(store)
    at = page(kind="nonsense", model="none", origin="mars", selected="gone,../../etc")
    assert listed(at) == [run_id]
    assert "Select rows" in text(at)


def test_what_is_selected_decides_what_can_be_done(store, jobs):
    shipped = ship(store)
    own = write_fake_run(store, ablation="mean")
    evaluation = write_fake_run(store, kind="evaluate", ablation="zero", circuit=own)
    everything = "discover,evaluate"
    off = {"open": False, "compare": False, "rename": False, "delete": False}
    assert disabled(page(selected=own)) == off | {"compare": True}
    assert disabled(page(selected=shipped)) == off | {"compare": True, "delete": True}
    both = page(selected=f"{own},{shipped}")
    assert disabled(both) == off | {"open": True, "rename": True}
    assert "2 selected" in text(both)
    opened = page(selected=evaluation, kind=everything)
    assert disabled(opened) == off | {"compare": True}
    store.delete(own)
    gone = page(selected=evaluation, kind=everything)
    assert disabled(gone) == off | {"compare": True, "open": True}
    assert f"{own} (gone)" in set(gone.dataframe[0].value["of"])


def test_one_selected_run_is_explained(store, jobs):
    own = write_fake_run(store, ablation="mean")
    evaluation = write_fake_run(store, kind="evaluate", ablation="zero", circuit=own)
    write_notes(store, store.get(own), Notes("My *best* one"))
    at = page(selected=own)
    assert "My \\*best\\* one" in text(at)
    assert f"evaluation under zero \\({evaluation.rsplit('-', 1)[-1]}\\)" in text(at)
    tables = "".join(str(table.value) for table in at.table)
    for part in ("1,519", "95 %", "Edge Pruning", "torch 2.13", "seed 0"):
        assert part in tables
    assert "a note on this run" in text(at)


def test_a_run_gets_a_title_and_keeps_its_pins(store, jobs):
    own = write_fake_run(store, ablation="mean")
    write_notes(store, store.get(own), Notes(None, {"m0": "why?"}))
    at = page(selected=own)
    at.button(key="runs-rename").click().run()
    at.text_input(key="runs-title").set_value("For the talk")
    press(at, "runs-rename", "runs-save-title")
    assert read_notes(store, store.get(own)) == Notes("For the talk", {"m0": "why?"})
    assert page().dataframe[0].value["name"].tolist() == ["For the talk"]
    assert data.shelf().label(own) == "For the talk"


@pytest.mark.parametrize("with_them", [True, False])
def test_deleting_names_what_goes_and_asks(store, jobs, with_them):
    shipped = ship(store)
    own, other = write_fake_run(store, ablation="mean"), write_fake_run(store, ablation="zero")
    evaluation = write_fake_run(store, kind="evaluate", ablation="zero", circuit=own)
    at = page(selected=f"{own},{shipped}")
    at.button(key="runs-delete").click().run()
    said = text(at)
    assert all(part in said for part in (own, shipped, evaluation, "cannot be undone", "stay"))
    assert other not in said
    assert {run.run_id for run in store.list()} == {shipped, own, other, evaluation}
    if not with_them:
        at.checkbox(key="runs-with-children").uncheck()
    press(at, "runs-delete", "runs-do-delete")
    assert {run.run_id for run in store.list()} == {shipped, other} | (set() if with_them else {evaluation})
    assert set(listed(at)) == {shipped, other}


def test_keeping_deletes_nothing(store, jobs):
    own = write_fake_run(store)
    at = page(selected=own)
    at.button(key="runs-delete").click().run()
    press(at, "runs-delete", "runs-keep")
    assert own in store


def test_a_broken_folder_is_named_and_can_be_deleted(store, jobs):
    good, bad = write_fake_run(store), write_fake_run(store, ablation="mean")
    (store.user_dir / bad / "result.json").write_text("{")
    at = page()
    assert listed(at) == [good]
    assert "is no JSON" in text(at)
    at.button(key=f"broken-{bad}").click().run()
    assert str(store.user_dir / bad) in text(at).replace("\\", "")
    press(at, f"broken-{bad}", "runs-do-delete")
    assert not (store.user_dir / bad).exists()
    assert "is no JSON" not in text(at)


def test_a_packed_run_is_imported_and_selected(store, jobs, tmp_path):
    other = RunStore(tmp_path / "other", tmp_path / "nothing")
    there = other.get(write_fake_run(other, kind="evaluate", ablation="zero", circuit="some-run"))
    packed = pack(other, there)
    at = page(ablation="mean")
    at.file_uploader(key="runs-upload").upload("run.zip", packed, "application/zip").run()
    assert "Imported" in at.success[0].value
    assert there.run_id in store
    assert at.session_state["runs-selected"] == [there.run_id]
    assert listed(at) == [there.run_id]
    again = page()
    again.file_uploader(key="runs-upload").upload("run.zip", packed, "application/zip").run()
    assert "is here already" in again.info[0].value


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("x.zip", b"PK nonsense", "no zip"),
        ("x.pt", b"\x80\x04", "is pickle, which could run any code"),
        ("x.json", b'{"edges": 3}', "an object 'edges' is needed"),
        ("<b>x.csv", b"name\n", "must name the columns"),
    ],
)
def test_a_broken_upload_is_told_in_one_line(store, jobs, name, content, problem):
    at = page()
    at.file_uploader(key="runs-upload").upload(name, content, "application/octet-stream").run()
    assert problem in at.error[0].value.replace("\\", "")
    assert "<b>" not in at.error[0].value
    assert not at.exception
    assert list(store.user_dir.glob("[a-z]*")) == []


def test_a_circuit_file_is_asked_about_and_becomes_a_job(store, jobs):
    run = store.get(write_fake_run(store, ablation="mean"))
    content = to_json(run, run.circuit_at(150)).encode()
    at = page()
    at.file_uploader(key="runs-upload").upload("mine.json", content, "application/json").run()
    assert "of 1,519 edges kept, in a graph of 4 layers with 8 heads" in text(at)
    chosen = {name: at.selectbox(key=f"import-{name}").value for name in ("model", "task", "ablation")}
    assert chosen == {"model": "explorer-4l", "task": "ioi", "ablation": "mean"}
    at.button(key="runs-import").click().run()
    (request,) = jobs.submitted
    assert (request.kind, request.model, request.ablation, request.qkv) == (
        "import",
        "explorer-4l",
        "mean",
        "split",
    )
    kept = json.loads((store.user_dir / ".imports" / f"{request.circuit}.json").read_text())
    assert len(kept["edges"]) == run.circuit_at(150).n_edges


def test_a_file_that_does_not_say_its_graph_takes_that_of_the_model(store, jobs):
    at = page()
    few = b"edge\ninput->m0\nm0->logits\n"
    at.file_uploader(key="runs-upload").upload("few.csv", few, "text/csv").run()
    assert any("choose its model" in info.value for info in at.info)
    at.selectbox(key="import-model").select("explorer-4l")
    at.button(key="runs-import").click().run()
    assert not at.error
    assert jobs.submitted[0].model == "explorer-4l"


def test_a_model_must_be_chosen(store, jobs, monkeypatch):
    monkeypatch.setattr("app.parts.request_form.shipped_models", dict)
    at = page()
    at.file_uploader(key="runs-upload").upload("few.csv", b"edge\ninput->m0\nm0->logits\n", "text/csv").run()
    at.button(key="runs-import").click().run()
    assert "Choose the model" in at.error[0].value
    assert not jobs.submitted


def test_a_circuit_of_another_model_is_refused(store, jobs):
    content = json.dumps({"model": {"n_layers": 2, "n_heads": 2, "id": "tiny"}, "edges": {"m0->m1": {}}})
    at = page()
    at.file_uploader(key="runs-upload").upload("x.json", content.encode(), "application/json").run()
    at.selectbox(key="import-model").select("explorer-4l")
    at.button(key="runs-import").click().run()
    assert "does not fit" in at.error[0].value
    assert not jobs.submitted


def test_the_queue_shows_what_runs_waits_and_failed(store, jobs):
    log = (Reported(1_700_000_000.0, 3, 10, "KL 0.5"), Reported(1_700_000_001.0, 4, 10, "KL 0.4 <b>"))
    jobs._jobs = [
        job("queued", position=1),
        job("running", done=4, total=10, message="KL 0.4 <b>", log=log),
        job("failed", error="no such *model*", log=log[:1]),
        job("done", log=log),
    ]
    at = page()
    shown = text(at)
    assert shown.index("running") < shown.index("queued"), "what runs stands first"
    bars = {bar.proto.text: bar.proto.value for bar in at.get("progress")}
    assert bars == {"KL 0.4 \\<b\\>": 40, "Waiting, 1 ahead": 0}
    logs = [code.value for code in at.code]
    assert logs[0].splitlines()[0].endswith("40 %  KL 0.4 <b>")
    assert logs[0].splitlines()[1].endswith("30 %  KL 0.5")
    assert "no such \\*model\\*" in at.error[0].value
    assert list(at.dataframe[0].value["how"]) == ["failed", "finished"]
    at.button(key="cancel-job-running").click().run()
    assert [job.job_id for job in jobs.jobs()] == ["job-queued", "job-failed", "job-done"]


def test_a_failed_job_can_be_run_again_and_dismissed(store, jobs):
    jobs._jobs = [job("failed", asked(seed=5), error="out of luck")]
    at = page()
    at.button(key="again-job-failed").click().run()
    assert [request.seed for request in jobs.submitted] == [5]
    jobs.problem = "the model is gone"
    at.button(key="again-job-failed").click().run()
    assert "the model is gone" in [error.value for error in at.error]
    at.button(key="dismiss-job-failed").click().run()
    assert not at.error


def test_a_run_that_was_waited_for_is_selected_once_and_opens_on_explore(store, jobs):
    first, second = write_fake_run(store), write_fake_run(store, ablation="mean")
    at = AppTest.from_file(str(Path(data.__file__).with_name("shell.py")), default_timeout=60)
    at.session_state["open-next"] = second
    go_to(at, "runs")
    at.run()
    assert at.session_state["runs-selected"] == [second]
    at.button(key="runs-clear").click().run()
    assert at.session_state["runs-selected"] == []
    go_to(at, "")
    at.run()
    assert at.session_state["run"] == second
    assert first in store


def test_scores_without_kept_edges_are_asked_how_many_to_keep(store, jobs):
    rows = "\n".join(f"{edge},{i - 700},false" for i, edge in enumerate(Graph(4, 8).edge_names))
    at = page()
    content = f"edge,score,in_graph\n{rows}\n".encode()
    at.file_uploader(key="runs-upload").upload("scores.csv", content, "text/csv").run()
    assert "marks no edge as kept" in text(at)
    at.number_input(key="import-edges").set_value(123)
    at.selectbox(key="import-model").select("explorer-4l")
    at.button(key="runs-import").click().run()
    assert jobs.submitted[-1].edges == 123
