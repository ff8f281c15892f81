"""Every registered method on every planted model: what it finds, and what it misses.

A new method is run here without an edit, and must run; what is expected of it is a line in `EXPECTED`.
"""

from dataclasses import dataclass

import pytest

from engine.discovery.base import methods
from engine.planted import MODELS, table
from tests.planted.models import planted


@dataclass(frozen=True)
class Range:
    """Least and largest recall and AUROC."""

    recall: tuple[float, float] = (0.0, 1.0)
    auroc: tuple[float, float] = (0.0, 1.0)


FINDS_ALL = Range(recall=(1.0, 1.0), auroc=(0.99, 1.0))
# Of the conjunction eight edges get nothing, and one that does not matter gets a high score.
MISSES = Range(recall=(0.0, 0.4), auroc=(0.4, 0.7))
# Partial masks make the edges matter that lead through m1 of the conjunction.
SAMPLED = Range(recall=(0.75, 1.0), auroc=(0.95, 1.0))
# Between two nodes that matter every edge has the same score.
NODES = Range(recall=(0.5, 0.9), auroc=(0.95, 0.995))
CHANCE = Range(recall=(0.0, 0.4), auroc=(0.2, 0.8))


def everywhere(expected: Range, conjunction: Range | None = None) -> dict[str, Range]:
    return dict.fromkeys(MODELS, expected) | {"conjunction": conjunction or expected}


EXPECTED: dict[str, dict[str, Range]] = {
    "acdc": everywhere(FINDS_ALL),
    "eap": everywhere(FINDS_ALL, MISSES),
    "eap-ig": everywhere(FINDS_ALL),
    "eap-then-edge-pruning": everywhere(FINDS_ALL),
    "edge-pruning": everywhere(FINDS_ALL),
    "hcgs": everywhere(FINDS_ALL, SAMPLED),
    "node-pruning": everywhere(NODES),
    "random": everywhere(CHANCE),
    "ugs": everywhere(FINDS_ALL, SAMPLED),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", methods.names())
def test_what_a_method_finds(name: str, method: str) -> None:
    row = table.measure(name, planted(name), method, "counterfactual")
    expected = EXPECTED.get(method, {}).get(name, Range())
    assert expected.recall[0] <= row["recall"] <= expected.recall[1], row
    assert expected.auroc[0] <= row["auroc"] <= expected.auroc[1], row
    assert row["precision"] == row["recall"], "every edge has a score"


def test_random_scores_are_at_chance_over_many_seeds() -> None:
    for name in MODELS:
        model = planted(name)
        row = table.measure(name, model, "random", "counterfactual", range(200))
        assert row["auroc"] == pytest.approx(0.5, abs=0.05)
        assert row["precision"] == pytest.approx(len(model.circuit) / model.graph.n_edges, abs=0.03)


def test_the_table_has_a_row_for_every_model_and_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "names", lambda: ["eap", "eap-ig"])
    rows = table.recovery_table(seeds=(0, 1))
    assert [(row["model"], row["method"]) for row in rows] == [
        (name, method) for name in MODELS for method in ("eap", "eap-ig")
    ]
    assert {row["model"] for row in table.recovery_table("zero")} == {"copying", "lookup"}
    text = table.markdown(rows).splitlines()
    assert text[0] == "| model | method | precision | recall | AUROC | seconds |"
    assert len(text) == 2 + len(rows)
    assert text[2].startswith("| copying | eap | 1.00 | 1.00 | 1.00 |")
