"""The README shows what was measured, and names only what exists."""

import re

from engine.demo.readme import README, ROOT, filled


def test_tables_are_those_of_the_measurements() -> None:
    text = README.read_text(encoding="utf-8")
    assert filled(text) == text, "run: make readme"
    assert all(f"| {name} |" in text for name in ("masked-forward", "edge-pruning-step", "ioi", "facts"))


def test_every_file_it_links_to_exists() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8"))
    local = [target for target in targets if not target.startswith("https://")]
    assert local
    assert [target for target in local if not (ROOT / target).exists()] == []
