"""The switch of the ablation under which a circuit is evaluated."""

import pytest

from app.explore import evaluation
from app.runs import open_run
from tests.app.fake_run import write_fake_run


@pytest.mark.parametrize(("under", "jobs"), [("zero", 1), ("mean", 0), ("Counterfactual (as discovered)", 0)])
def test_only_another_ablation_asks_for_an_evaluation(store, monkeypatch, under, jobs):
    """Not the wording of a choice that was the last run's, which a quick click brings."""
    opened = open_run(write_fake_run(store, ablation="mean"))
    asked = []
    monkeypatch.setattr(evaluation, "start", asked.extend)
    monkeypatch.setattr(evaluation.st, "session_state", {"under": under})
    evaluation._start(opened)
    assert [request.ablation for request in asked] == [under] * jobs
