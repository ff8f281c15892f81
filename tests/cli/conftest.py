"""What the tests of commands ask for: a tiny model and a task file."""

import json
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> str:
    return str(tiny_folder)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A task file of 40 pairs: the answer is the word after the first."""
    path = tmp_path_factory.mktemp("tasks") / "next.jsonl"
    with path.open("w") as file:
        for i in range(40):
            pair = {"clean": f"w{i} w7 w8", "corrupt": f"w{(i + 9) % 40} w7 w8"}
            answers = {"answers": [f" w{i + 1}"], "wrong_answers": [f" w{(i + 10) % 40 + 1}"]}
            file.write(json.dumps(pair | answers) + "\n")
    return str(path)
