"""The Runs page in a real browser: rows selected, runs opened and compared, files in and out."""

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from engine.runs.archive import pack
from engine.runs.export import to_json
from engine.runs.store import RunStore
from tests.app.fake_run import write_fake_run
from tests.browser.conftest import Server, serve, settled

pytestmark = pytest.mark.browser
JOB = 240_000  # ms, an upper bound: a job starts worker processes that load torch


@dataclass(frozen=True)
class Shelf:
    """A dashboard of its own, whose runs may be deleted, and files to import into it."""

    url: str
    store: RunStore
    run: str
    other: str
    packed: Path
    broken: Path


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[Shelf]:
    folder = tmp_path_factory.mktemp("shelf")
    store, abroad = RunStore(folder / "runs"), RunStore(folder / "abroad", folder / "nothing")
    run = write_fake_run(store, model="fake-4l")
    other = write_fake_run(store, model="fake-4l", ablation="mean")
    there = abroad.get(write_fake_run(abroad, model="fake-4l", ablation="zero"))
    packed, broken = folder / "packed.zip", folder / "broken.zip"
    packed.write_bytes(pack(abroad, there))
    broken.write_bytes(packed.read_bytes()[:-100])
    process, url = serve(folder / "runs", folder / "log")
    yield Shelf(url, store, run, other, packed, broken)
    process.terminate()
    process.wait(timeout=20)


def open_runs(page: Page, shelf: Shelf, query: str = "") -> None:
    page.goto(f"{shelf.url}/runs?model=fake-4l{query}")
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    expect(page.locator(".st-key-runs-table canvas").first).to_be_visible()
    settled(page)


def tick(page: Page, row: int) -> None:
    """Click the box at the left edge of a row; the table is one canvas."""
    box = page.locator(".st-key-runs-table canvas").first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 16, box["y"] + 36 * (row + 1) + 18)
    settled(page)


def button(page: Page, key: str) -> Locator:
    return page.locator(f".st-key-{key} button").first


def upload(page: Page, file: Path) -> None:
    page.locator(".st-key-runs-upload input[type=file]").set_input_files(file)
    settled(page)


def test_ticked_runs_are_opened_and_compared(page, shelf):
    open_runs(page, shelf)
    expect(page.get_by_text("Select rows at their left edge")).to_be_visible()
    tick(page, 0)
    expect(page.get_by_text("1 selected")).to_be_visible()
    expect(page).to_have_url(re.compile("selected=edge-pruning-fake-4l"))
    expect(button(page, "runs-compare")).to_be_disabled()
    tick(page, 1)
    expect(page.get_by_text("2 selected")).to_be_visible()
    expect(button(page, "runs-compare")).to_be_enabled()
    settled(page)  # a click while the page is drawn anew is lost
    button(page, "runs-compare").click()
    expect(page).to_have_url(re.compile(r"/compare\?runs=edge-pruning-fake-4l"))
    expect(page.locator(".st-key-compare-runs").get_by_text("Indirect objects")).to_have_count(2)

    page.go_back()
    expect(page.get_by_text("2 selected")).to_be_visible()
    tick(page, 1)
    expect(page.get_by_text("1 selected")).to_be_visible()
    button(page, "runs-open").click()
    expect(page).to_have_url(re.compile(r"/explore\?run=|/\?run="))
    expect(page.locator(".st-key-graph .main-svg").first).to_be_visible()
    assert shelf.run in page.url or shelf.other in page.url


def test_the_url_restores_filters_and_selection_elsewhere(page, shelf, browser):
    open_runs(page, shelf, f"&selected={shelf.other}")
    expect(page.get_by_text("1 selected")).to_be_visible()
    page.get_by_placeholder("Title, task").fill("mean")
    page.get_by_placeholder("Title, task").press("Enter")
    expect(page).to_have_url(re.compile("text=mean"))
    settled(page)
    elsewhere = browser.new_context().new_page()
    elsewhere.goto(page.url)
    expect(elsewhere.get_by_placeholder("Title, task")).to_have_value("mean")
    expect(elsewhere.get_by_text("1 selected")).to_be_visible()
    elsewhere.context.close()


def test_a_broken_upload_is_refused_in_one_line(page, shelf, tmp_path):
    open_runs(page, shelf)
    upload(page, shelf.broken)
    expect(page.get_by_text("the archive is no zip, or is damaged")).to_be_visible()
    pickled = tmp_path / "circuit.pt"
    pickled.write_bytes(b"\x80\x04")
    open_runs(page, shelf)
    upload(page, pickled)
    expect(page.get_by_text("is pickle, which could run any code")).to_be_visible()
    expect(page.get_by_text("Traceback")).to_have_count(0)
    assert len(shelf.store.list_broken()) == 0


def test_a_run_is_imported_renamed_exported_and_deleted(page, shelf):
    open_runs(page, shelf)
    upload(page, shelf.packed)
    expect(page.get_by_text("Imported. Discovery")).to_be_visible()
    expect(page.get_by_text("1 selected")).to_be_visible()
    settled(page)

    button(page, "runs-rename").click()
    page.get_by_label("Title", exact=True).fill("From *abroad*")
    page.get_by_label("Title", exact=True).press("Tab")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("strong").filter(has_text="From *abroad*")).to_be_visible()

    button(page, "runs-export").click()
    with page.expect_download() as download:
        button(page, "runs-zip").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        names = {Path(name).name for name in archive.namelist()}
    assert names == {"request.json", "result.json", "circuit.json", "tensors.safetensors", "notes.json"}
    with page.expect_download() as download:
        button(page, "export-graphml").click()
    assert "graphml" in download.value.path().read_text()
    page.keyboard.press("Escape")

    button(page, "runs-delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("From *abroad*: edge-pruning-fake-4l-ioi-zero")).to_be_visible()
    dialog.get_by_role("button", name="Delete 1 run").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_text("Select rows at their left edge")).to_be_visible()
    assert {run.run_id for run in shelf.store.list() if not run.shipped} == {shelf.run, shelf.other}


def test_an_imported_circuit_is_measured_and_opened(page, server: Server, shelf, tmp_path):
    few = tmp_path / "few.csv"
    few.write_text("edge,score\ninput->m0,3\nm0->logits,2\ninput->logits,1\n")
    open_runs(page, shelf)
    upload(page, few)
    expect(page.get_by_text("choose its model")).to_be_visible()
    for key, value in (("import-model", server.model), ("import-task", server.task)):
        field = page.locator(f".st-key-{key} input")
        field.click()
        field.fill(str(value))
        page.get_by_role("option").filter(has_text=str(value)).first.click()
        settled(page)
    button(page, "runs-import").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible(timeout=JOB)
    # It is selected when it is done; while the page is redrawn there is no button for a moment, either.
    expect(page.get_by_text("1 selected")).to_be_visible(timeout=JOB)
    settled(page)
    button(page, "runs-open").click()
    expect(page).to_have_url(re.compile("run=import-tiny-next-counterfactual"))
    expect(page.get_by_text("3 of", exact=False).first).to_be_visible()


def test_the_export_of_a_run_is_a_circuit_that_can_be_imported(page, shelf, tmp_path):
    run = shelf.store.get(shelf.run)
    file = tmp_path / "circuit.json"
    file.write_text(to_json(run, run.circuit_at(None)))
    open_runs(page, shelf)
    upload(page, file)
    expect(page.get_by_text("of 1,519 edges kept")).to_be_visible()
    expect(page.locator(".st-key-import-model input")).to_have_value("fake-4l")
    button(page, "runs-import").click()
    expect(page.get_by_text("unknown model 'fake-4l'")).to_be_visible()
