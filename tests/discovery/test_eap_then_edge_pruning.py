"""EAP, then Edge Pruning: one after the other, from one checkpoint."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.discovery import eap, edge_pruning
from engine.discovery.base import methods
from engine.discovery.eap_then_edge_pruning import Settings
from engine.errors import Cancelled, RequestError
from engine.models import Model
from engine.progress import silent
from engine.settings import parse_settings
from tests.discovery.test_edge_pruning import problem

SETTINGS = {"steps": 40}


def test_it_is_edge_pruning_warm_started_from_eap(tiny_model: Model) -> None:
    task, method = problem(tiny_model), methods.get("eap-then-edge-pruning")
    first = methods.get("eap").discover(task, parse_settings(eap.Settings, {}), 0, silent).scores
    second = parse_settings(edge_pruning.Settings, SETTINGS)
    expected = methods.get("edge-pruning").discover(replace(task, warm_start=first), second, 0, silent)
    seen: list[float] = []
    found = method.discover(
        task, parse_settings(Settings, SETTINGS), 0, lambda done, total, message: seen.append(done / total)
    )
    assert torch.equal(found.scores, expected.scores)
    assert found.history == expected.history
    assert seen == sorted(seen), "progress never goes back"
    assert seen[-1] == 1


def test_it_takes_edge_pruning_s_settings_but_no_warm_start() -> None:
    assert set(edge_pruning.Settings.model_fields) - set(Settings.model_fields) == {"warm_start"}
    assert parse_settings(Settings, {"recipe": "published"}).steps == 3000
    with pytest.raises(RequestError, match="unknown setting 'warm_start'"):
        parse_settings(Settings, {"warm_start": "a-run"})


def test_cancelled_work_resumes_to_the_same_result(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.discovery.mask_training.CHECKPOINT_EVERY", 7)
    method, settings = methods.get("eap-then-edge-pruning"), parse_settings(Settings, SETTINGS)
    expected = method.discover(problem(tiny_model), settings, 0, silent)
    for share in (0.02, 0.5):  # while EAP is at work, and while Edge Pruning is

        def stop(done: int, total: int, message: str, share: float = share) -> None:
            if done / total >= share:
                raise Cancelled("stopped")

        with pytest.raises(Cancelled):
            method.discover(problem(tiny_model, tmp_path), settings, 0, stop)
    seen: list[str] = []
    resumed = method.discover(
        problem(tiny_model, tmp_path), settings, 0, lambda done, total, message: seen.append(message)
    )
    assert seen[0] == "EAP: scored every edge", "its gradients are not taken again"
    assert torch.equal(resumed.scores, expected.scores)
    assert resumed.history == expected.history
