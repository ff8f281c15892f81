"""Which models need a download; nothing here reaches a network."""

from pathlib import Path

import pytest

from engine.models.catalogue import find_model, on_this_machine, shipped_models


def hub(monkeypatch: pytest.MonkeyPatch, cache: dict[str, Path], beyond: dict[str, Path]) -> None:
    """Let the hub's client have models in its cache, and others that it can fetch."""

    def snapshot(model: str, local_files_only: bool = False, **options: object) -> str:
        if model not in cache:
            if local_files_only or model not in beyond:
                raise FileNotFoundError(model)
            cache[model] = beyond[model]
        return str(cache[model])

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)


def test_only_an_id_that_was_not_fetched_needs_a_download(tiny_folder, tmp_path, monkeypatch):
    begun = tmp_path / "begun"  # a download that was cut off before the weights
    begun.mkdir()
    (begun / "config.json").write_text("{}")
    hub(monkeypatch, {"me/here": tiny_folder, "me/begun": begun}, {"me/there": tiny_folder})
    here = [*shipped_models(), str(tiny_folder), "me/here"]
    no_models = ["", "no model", "a/b/c", "~nobody-of-this-name/x", "x" * 5000]
    assert [model for model in [*here, *no_models] if not on_this_machine(model)] == []
    away = ["me/there", "me/nowhere", "me/begun", "gpt2"]
    assert [model for model in away if on_this_machine(model)] == []


def test_what_was_fetched_is_here(tiny_folder, monkeypatch):
    hub(monkeypatch, {}, {"me/there": tiny_folder})
    assert not on_this_machine("me/there")
    assert find_model("me/there") == tiny_folder
    assert on_this_machine("me/there")


def test_a_folder_called_like_an_id_is_a_folder(tiny_folder, tmp_path, monkeypatch):
    hub(monkeypatch, {}, {})
    (tmp_path / "me").mkdir()
    (tmp_path / "me" / "tiny").symlink_to(tiny_folder)
    monkeypatch.chdir(tmp_path)
    assert on_this_machine("me/tiny")
    (tmp_path / "me" / "empty").mkdir()
    assert on_this_machine("me/empty")  # no model, and no download would make it one
