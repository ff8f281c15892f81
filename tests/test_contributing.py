"""The examples in CONTRIBUTING.md do what it says."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.ablations.base import ablations
from engine.discovery.base import methods
from engine.experiments import run
from engine.registry import Registry
from engine.runs.kinds import make_request
from engine.runs.store import RunStore
from engine.tasks.base import tasks

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "CONTRIBUTING.md"
# The examples by the path in their first line.
EXAMPLES = {
    path: text
    for text, path in re.findall(
        r"```python\n(# (\S+)\n.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL
    )
}
FOLDERS = ("engine/instruments/norms/", "app/norms/")


class FakeWords:
    """A tokenizer in which every word is a token."""

    def encode(self, text: str) -> list[int]:
        return [len(word) for word in text.split()]

    def token_id(self, text: str) -> int | None:
        return len(text)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Carry out the examples, for one test."""
    for registry in (tasks, ablations, methods):
        assert isinstance(registry, Registry)
        registry.names()
        monkeypatch.setattr(registry, "_items", dict(registry._items))
    variants = [text for path, text in EXAMPLES.items() if not path.startswith(FOLDERS)]
    assert len(variants) == 3
    for example in variants:
        exec(compile(example, str(GUIDE), "exec"), {"__name__": "example"})


def test_the_task(written: None):
    pairs = tasks.get("antonym").pairs(FakeWords(), "train", 5, seed=0)
    assert pairs
    for pair in pairs:
        assert pair.clean != pair.corrupt
        assert pair.answers != pair.wrong_answers


def test_the_ablation_and_the_method(written: None, tiny_folder: Path, tmp_path: Path):
    lines = [
        {"clean": f"w{i} w7", "corrupt": f"w{i + 1} w7", "answers": [" w3"], "wrong_answers": [" w4"]}
        for i in range(10)
    ]
    task = tmp_path / "task.jsonl"
    task.write_text("\n".join(json.dumps(line) for line in lines))
    store = RunStore(tmp_path / "runs")
    about = {"model": str(tiny_folder), "task": str(task), "ablation": "blank"}
    asked = make_request("discover", **about, method="random-normal", settings={"spread": "3"})
    found = store.get(run(asked, lambda done, total, message: None, store))
    assert found.result.curve[-1].kl.mean == pytest.approx(0, abs=1e-5)
    assert found.tensors["scores"].std() == pytest.approx(3, rel=0.2)


@pytest.mark.slow
def test_the_instrument(tiny_folder: Path, tmp_path: Path):
    """Two new folders in a copy of the program, no other file changed, and everything knows of it."""
    house = tmp_path / "house"
    for folder in ("engine", "app"):
        shutil.copytree(ROOT / folder, house / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("assets", "cached_runs", ".streamlit"):
        (house / name).symlink_to(ROOT / name)
    written = {path: text for path, text in EXAMPLES.items() if path.startswith(FOLDERS)}
    assert len(written) == 6
    for path, text in written.items():
        (house / path).parent.mkdir(exist_ok=True)
        (house / path).write_text(text, encoding="utf-8")
    command = [sys.executable, str(Path(__file__).with_name("check_toy_instrument.py"))]
    done = subprocess.run(
        [*command, str(tiny_folder), str(tmp_path / "runs")],
        cwd=house,
        env=os.environ | {"PYTHONPATH": str(house), "CIRCUIT_EXPLORER_RUNS": str(tmp_path / "runs")},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "everything knows of it"
    shutil.copy(ROOT / "pyproject.toml", house)
    for checked in (
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["pyright", "--pythonpath", sys.executable],
    ):
        said = subprocess.run(
            [sys.executable, "-m", *checked, *written], cwd=house, capture_output=True, text=True
        )
        assert said.returncode == 0, said.stdout + said.stderr
