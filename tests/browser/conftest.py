"""A server of our own with made-up runs, and a browser page on it."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from engine.circuits.graph import Graph
from engine.runs.store import RunStore
from tests.app.fake_run import write_fake_run
from tests.tiny import FAMILIES, save_tiny

ROOT = Path(__file__).resolve().parents[2]
MAIN = ROOT / "app" / "main.py"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
PATIENCE = 90_000  # ms, an upper bound: machines that test are slow and do other things too
expect.set_options(timeout=PATIENCE)


# In the page: true once no script has run and no figure has moved or been redrawn for a third of a second
# since `FROM_NOW`, which is three times as long as Plotly waits before it follows a change of width.
FROM_NOW = "() => { window.stillSince = performance.now(); }"
STILL = """() => {
  const boxes = [...document.querySelectorAll('.plotly-view')].map((view) => {
    const { x, y, width, height } = view.getBoundingClientRect();
    return [x, y, width, height, view._fullLayout?.width, view._fullLayout?.height];
  });
  const now = JSON.stringify(boxes), running = document.querySelector('.stApp').dataset.testScriptState;
  if (running !== 'notRunning' || now !== window.lastSeen) {
    window.lastSeen = now;
    window.stillSince = performance.now();
  }
  return performance.now() - window.stillSince > 330;
}"""


def settled(page: Page) -> None:
    """Wait until the page is complete and stands still."""
    page.evaluate(FROM_NOW)  # what was clicked just now may not have begun
    page.wait_for_function(STILL)


def choose(page: Page, key: str, label: str) -> None:
    """Choose what a chooser with a text field is to show."""
    settled(page)  # what is offered can go while the page is being redrawn
    field = page.locator(f".st-key-{key} input")
    field.click()
    field.fill(label)
    page.get_by_role("option").filter(has_text=label).first.click()
    expect(field).to_have_value(label)


# In the page: notes whether a view hears a click. While it is redrawn it forgets what is under the pointer.
LISTEN = """(view) => {
  const plot = document.querySelector(`.st-key-${view} .plotly-view`);
  plot.heard = false;
  plot.once('plotly_click', () => { plot.heard = true; });
}"""
HEARD = "(view) => document.querySelector(`.st-key-${view} .plotly-view`).heard"


def point_at(page: Page, view: str, place: str, about: object = None) -> tuple[float, float]:
    """Move the pointer as a person does to what a view shows at `place`, and return where that is.

    `place` is JavaScript that returns [x, y] on the screen, a function of `about`.
    """
    settled(page)
    x, y = page.evaluate(place, about)
    page.mouse.move(x - 3, y - 3)
    page.mouse.move(x, y)
    expect(page.locator(f".st-key-{view} .plotly-view.pointed")).to_be_attached()
    return x, y


def click_point(page: Page, view: str, place: str, about: object = None, shift: bool = False) -> None:
    """Click as a person does, on what is under the pointer, and once more if the view did not hear it."""
    page.locator(f".st-key-{view}").first.scroll_into_view_if_needed()
    for _ in range(10):
        x, y = point_at(page, view, place, about)
        page.evaluate(LISTEN, view)
        if shift:
            page.keyboard.down("Shift")
        page.mouse.click(x, y)
        if shift:
            page.keyboard.up("Shift")
        if page.evaluate(HEARD, view):
            return
    pytest.fail(f"the view {view} heard no click")


def double_click(page: Page, x: float, y: float, done: Callable[[], bool]) -> None:
    """Double-click until it is seen: two clicks that a slow machine sees too far apart are not one."""
    for _ in range(10):
        page.mouse.dblclick(x, y)
        settled(page)
        if done():
            return
    pytest.fail("no double click was seen")


@dataclass(frozen=True)
class Server:
    """A running dashboard: its address, its runs, the ids of those made up, a tiny model and a task."""

    url: str
    runs: Path
    run: str
    other: str
    large: str
    model: Path
    task: Path


def serve(runs: Path, log: Path, main: Path = MAIN) -> tuple[subprocess.Popen[bytes], str]:
    """Start the dashboard (or what else is in `main`) on a free port and wait until it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(main), "--server.port", str(port)]
    environment = os.environ | {
        "CIRCUIT_EXPLORER_RUNS": str(runs),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    for _ in range(240):
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=1):
                return process, url
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.25)
    process.kill()
    pytest.fail(f"the dashboard did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[Server]:
    """The dashboard over made-up runs."""
    folder = tmp_path_factory.mktemp("served")
    store = RunStore(folder / "runs")
    run = write_fake_run(store, model="fake-4l")
    other = write_fake_run(store, model="fake-4l", ablation="mean", seed=1)
    large = write_fake_run(store, Graph(12, 12), sizes=(300, 1100, 5000), size=1100, model="gpt2")
    process, url = serve(folder / "runs", folder / "log")
    yield Server(
        url,
        folder / "runs",
        run,
        other,
        large,
        save_tiny(FAMILIES["gpt2"], folder / "tiny"),
        _task(folder / "next.jsonl"),
    )
    process.terminate()
    process.wait(timeout=20)


def _task(path: Path) -> Path:
    """Write pairs whose answer is the word after the first."""
    pairs = [
        {
            "clean": f"w{i} w7 w8",
            "corrupt": f"w{(i + 9) % 40} w7 w8",
            "answers": [f" w{i + 1}"],
            "wrong_answers": [f" w{(i + 10) % 40 + 1}"],
        }
        for i in range(40)
    ]
    path.write_text("\n".join(json.dumps(pair) for pair in pairs))
    return path


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright: Playwright, chromium: str) -> Iterator[Browser]:
    started = playwright.chromium.launch(executable_path=chromium, args=FLAGS.split())
    yield started
    started.close()


@pytest.fixture(scope="module")
def visitors(browser: Browser) -> Iterator[BrowserContext]:
    """What the pages of one module have in common: the browser's cache. They are 1280 x 800, and light."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, color_scheme="light", reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(visitors: BrowserContext) -> Iterator[Page]:
    """A new visitor, who fails the test when the page's own JavaScript fails."""
    visitor = visitors.new_page()
    failures: list[str] = []
    visitor.on("pageerror", lambda error: failures.append(str(error)))
    yield visitor
    visitor.close()
    assert not failures
