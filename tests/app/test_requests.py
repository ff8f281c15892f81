"""Requests about a finished run are what the engine would make of them, without a look at the model."""

from dataclasses import replace

import pytest

from app.requests import evaluation_request, importance_request, measure_request, stability_request
from engine.experiments import completed
from engine.runs.combine import Chosen, Part
from engine.runs.store import RunStore


@pytest.fixture
def shipped(tmp_path):
    store = RunStore(tmp_path / "runs")
    return store, next(run for run in store.list() if run.request.kind == "discover")


@pytest.mark.parametrize("ablation", ["counterfactual", "mean", "zero"])
def test_they_are_complete(shipped, ablation):
    store, origin = shipped
    chosen = Chosen(name="x", parts=[Part(run=origin.run_id, edges=50)])
    for request in (
        evaluation_request(origin, ablation),
        importance_request(origin, ablation),
        measure_request(origin, ablation, [chosen]),
        stability_request(origin, [1, 2, 3]),
    ):
        assert completed(request, store) == request
        assert completed(request, store).run_id() == request.run_id()


def test_what_is_shipped_is_found_by_them(shipped):
    store, _ = shipped
    for origin in (run for run in store.list() if run.request.kind == "discover"):
        assert importance_request(origin, "mean").run_id() in store
        if origin.request.ablation != "mean":
            assert evaluation_request(origin, "mean").run_id() in store


def test_the_ablations_own_settings_and_the_seed_are_kept(shipped):
    _, origin = shipped
    settings = {"conditioning": "shared"}
    request = origin.request.model_copy(update={"ablation": "mean", "ablation_settings": settings, "seed": 3})
    run = replace(origin, request=request)
    assert importance_request(run, "mean").ablation_settings == settings
    assert importance_request(run, "mean").seed == 3
    assert importance_request(run, "zero").ablation_settings == {}
