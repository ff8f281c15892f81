"""The examples in CONTRIBUTING.md do what it says."""

import json
import re
from pathlib import Path

import pytest

from engine.ablations.base import ablations
from engine.discovery.base import methods
from engine.experiments import run
from engine.registry import Registry
from engine.runs.request import Request
from engine.runs.store import RunStore
from engine.tasks.base import tasks

GUIDE = Path(__file__).parents[1] / "CONTRIBUTING.md"


class FakeWords:
    """A tokenizer in which every word is a token."""

    def encode(self, text: str) -> list[int]:
        return [len(word) for word in text.split()]

    def token_id(self, text: str) -> int | None:
        return len(text)


@pytest.fixture(autouse=True)
def written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Carry out the examples, for one test."""
    for registry in (tasks, ablations, methods):
        assert isinstance(registry, Registry)
        registry.names()
        monkeypatch.setattr(registry, "_items", dict(registry._items))
    examples = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 3
    for example in examples:
        exec(compile(example, str(GUIDE), "exec"), {"__name__": "example"})


def test_the_task(written: None):
    pairs = tasks.get("antonym").pairs(FakeWords(), "train", 5, seed=0)
    assert pairs
    for pair in pairs:
        assert pair.clean != pair.corrupt
        assert pair.answers != pair.wrong_answers


def test_the_ablation_and_the_method(tiny_folder: Path, tmp_path: Path):
    lines = [
        {"clean": f"w{i} w7", "corrupt": f"w{i + 1} w7", "answers": [" w3"], "wrong_answers": [" w4"]}
        for i in range(10)
    ]
    task = tmp_path / "task.jsonl"
    task.write_text("\n".join(json.dumps(line) for line in lines))
    store = RunStore(tmp_path / "runs")
    asked = Request.model_validate(
        {"model": str(tiny_folder), "task": str(task), "ablation": "blank", "method": "random-normal"}
        | {"settings": {"spread": "3"}}
    )
    found = store.get(run(asked, lambda done, total, message: None, store))
    assert found.result["curve"][-1]["kl"]["mean"] == pytest.approx(0, abs=1e-5)
    assert found.tensors["scores"].std() == pytest.approx(3, rel=0.2)
