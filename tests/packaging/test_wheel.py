"""The wheel, built, installed in an environment of its own and used from elsewhere."""

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.runs.store import SHIPPED_RUNS

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", ".streamlit", "app", "assets", "cached_runs", "engine")
RUN = "edge-pruning-explorer-4l-ioi-counterfactual-bbf0d8c6"
PATIENCE = 120  # seconds, an upper bound

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel in it, the folder its packages lie in, and a folder to work in."""

    bin: Path
    packages: Path
    elsewhere: Path

    def run(self, program: str, *arguments: str) -> str:
        """Run a program of the environment and return what it printed."""
        done = subprocess.run(
            [self.bin / program, *arguments],
            cwd=self.elsewhere,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def clean_environment() -> dict[str, str]:
    """The environment without what makes the sources importable."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the wheel is built from: a build leaves files in the folder it is run in."""
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
    return folder


@pytest.fixture(scope="module")
def installed(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel alone in an environment of its own, which borrows what it depends on from this one."""
    wheels = tmp_path_factory.mktemp("wheels")
    python = [sys.executable, "-m"]
    build = [*python, "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(sources)]
    subprocess.run(build, check=True, capture_output=True, timeout=PATIENCE)
    (wheel,) = wheels.glob("*.whl")

    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, symlinks=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    pip = [*python, "pip", "--python", str(folder / "bin" / "python"), "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True, timeout=PATIENCE)
    # Only after that, as pip would see there the program itself. The folder's own .pth files, among them the
    # one of the sources, are not read from here.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Installed(folder / "bin", packages, tmp_path_factory.mktemp("elsewhere"))


def test_all_files_are_there_and_no_pictures(sources: Path, installed: Installed) -> None:
    there = {str(path.relative_to(sources)) for path in sources.rglob("*") if path.is_file()}
    code = {name for name in there if name.startswith(("app/", "engine/"))}
    shipped = {name for name in there if name.startswith((".streamlit/", "assets/", "cached_runs/"))}
    pictures = {name for name in shipped if name.startswith("assets/screenshots/")}
    assert all((installed.packages / name).is_file() for name in code)
    files = installed.packages / "engine" / "shipped" / "files"
    assert {name for name in shipped if not (files / name).is_file()} == pictures
    assert pictures
    assert not (files / "tests").exists()


def test_it_is_the_wheel_that_is_imported(installed: Installed) -> None:
    print_files = "import app, engine; print(app.__file__); print(engine.__file__)"
    for file in installed.run("python", "-c", print_files).splitlines():
        assert Path(file).is_relative_to(installed.packages)


def test_shipped_runs_are_listed(installed: Installed) -> None:
    listed = json.loads(installed.run("circuit-explorer", "list", "runs", "--json"))
    names = {run["name"] for run in listed["runs"]}
    assert {folder.name for folder in SHIPPED_RUNS.glob("edge-pruning-*")} <= names
    assert not listed["broken"]


def test_shipped_models_are_listed(installed: Installed) -> None:
    assert "explorer-4l" in installed.run("circuit-explorer", "list", "models")


def test_a_shipped_run_is_exported(installed: Installed) -> None:
    edges = installed.run("circuit-explorer", "export", RUN, "--format", "csv").splitlines()
    assert edges[0] == "edge,score,in_graph"
    assert len(edges) == 1 + 1519


def test_a_shipped_run_is_opened_with_its_tensors(installed: Installed) -> None:
    code = f"from engine.runs.store import RunStore; print(RunStore().get('{RUN}').tensors['scores'].shape)"
    assert installed.run("python", "-c", code).strip() == "(1519,)"


def test_the_dashboard_is_served(installed: Installed) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [installed.bin / "circuit-explorer", "serve", "--port", str(port)]
    with (installed.elsewhere / "log").open("wb") as log:
        dashboard = subprocess.Popen(
            command, cwd=installed.elsewhere, env=clean_environment(), stdout=log, stderr=subprocess.STDOUT
        )
    try:
        assert healthy(f"http://127.0.0.1:{port}/_stcore/health"), (installed.elsewhere / "log").read_text()
    finally:
        dashboard.terminate()
        assert dashboard.wait(timeout=PATIENCE) == 0


def healthy(url: str) -> bool:
    """Whether the address answers before our patience ends."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status == 200
        except OSError:
            time.sleep(0.2)
    return False


def test_a_page_finds_its_pictures_and_runs(installed: Installed) -> None:
    code = (
        "from app.bench import APP; from streamlit.testing.v1 import AppTest\n"
        f"page = AppTest.from_file(APP / 'shell.py', default_timeout={PATIENCE}).run()\n"
        "assert not page.exception, page.exception\n"
        "print(len(page.main))"
    )
    assert int(installed.run("python", "-c", code).split()[-1]) > 0


def test_a_missing_folder_is_one_clear_line(installed: Installed) -> None:
    files = installed.packages / "engine" / "shipped" / "files"
    (files / "assets").rename(files / "gone")
    try:
        done = subprocess.run(
            [installed.bin / "circuit-explorer", "serve"],
            cwd=installed.elsewhere,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    finally:
        (files / "gone").rename(files / "assets")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "assets' is missing" in line
