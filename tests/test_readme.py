"""The README shows what was measured, and names only what exists."""

import json
import re

from engine.demo.readme import README, ROOT, filled
from engine.models.load import load_tokens
from engine.tasks.dataset import tokenise
from engine.tasks.forms import read_pair


def test_tables_are_those_of_the_measurements() -> None:
    text = README.read_text(encoding="utf-8")
    assert filled(text) == text, "run: make readme"
    assert all(f"| {name} |" in text for name in ("masked-forward", "edge-pruning-step", "ioi", "facts"))


def test_every_file_it_links_to_exists() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8"))
    local = [target for target in targets if not target.startswith("https://")]
    assert local
    assert [target for target in local if not (ROOT / target).exists()] == []


def test_the_pair_of_a_task_file_works_with_the_shipped_model() -> None:
    [line] = re.findall(r"```json\n(.*)\n```", README.read_text(encoding="utf-8"))
    prompt = tokenise(load_tokens("explorer-4l"), "README", read_pair(1, json.loads(line)))
    assert len(prompt.clean_ids) == len(prompt.corrupt_ids)
