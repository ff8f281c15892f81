"""Fixtures that every test may use."""

import os
import shutil
import signal
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from engine.models import Model

# Set before anything imports torch, a tokenizer or a hub client: tests are alike everywhere and offline.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# The command line sets this as well, before anything can draw bars; tests of it come after other imports.
os.environ.setdefault("TQDM_DISABLE", "1")
# Tiny models gain nothing from more threads, and lose much on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What a shell starts in the background ignores Ctrl-C, which the programs that tests start would inherit.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let every worker begin with modules that take long, so that short tests are left to share at the end.

    At first the workers get one stretch each of the list; who is done takes from the end of another's.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    browser, slow = (
        {item.path for item in items if item.get_closest_marker(mark)} for mark in ("browser", "slow")
    )

    def shortness(item: pytest.Item) -> tuple[bool, bool]:
        return item.path not in browser, item.path not in slow

    groups = [list(group) for _, group in groupby(sorted(items, key=shortness), shortness)]
    items[:] = [
        item
        for worker in range(workers)
        for group in groups
        for item in group[len(group) * worker // workers : len(group) * (worker + 1) // workers]
    ]


CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(autouse=True)
def own_runs_dir(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has an empty folder of user runs of its own; nothing touches the real one."""
    folder = tmp_path_factory.mktemp("runs")
    monkeypatch.setenv("CIRCUIT_EXPLORER_RUNS", str(folder))
    monkeypatch.delenv("CIRCUIT_EXPLORER_SCHEDULER", raising=False)
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium for browser tests. Without one: a failure in CI, a skip elsewhere."""
    for name in CHROMIUM_NAMES:
        if path := shutil.which(name):
            return path
    if os.environ.get("CI"):
        pytest.fail("no Chromium found: in CI the browser tests must run (apt-get install chromium)")
    pytest.skip("no Chromium found: browser tests are skipped (install chromium or google-chrome)")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of test data beside the checkout; without it a skip."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside the checkout: tests on foreign data are skipped")
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random GPT-2 with a tokenizer of words."""
    from tests.tiny import FAMILIES, save_tiny

    return save_tiny(FAMILIES["gpt2"], tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Path) -> "Model":
    """The tiny GPT-2, loaded."""
    from engine.models import load_model

    return load_model(str(tiny_folder), device="cpu")
