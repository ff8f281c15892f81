"""circuit-explorer lens, on a tiny model."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.cli import main
from engine.runs.store import RunStore
from tests.instruments.lens.test_lens_runs import SMALL, train_small_lenses
from tests.lenses.test_imported import save


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    train_small_lenses(monkeypatch)


def lens(capsys: pytest.CaptureFixture[str], model: Path, *options: str) -> tuple[int, Any, str]:
    status = main(["lens", "--model", str(model), "--text", "w1 w2 w3", *options, "--json"])
    out, err = capsys.readouterr()
    return status, json.loads(out) if out else None, (err.splitlines() or [""])[-1]


@pytest.mark.parametrize("name", ["logit", "mean", "tuned", "oca", "linear-oca"])
def test_the_json_of_a_lens(capsys: pytest.CaptureFixture[str], tiny_folder: Path, name: str):
    status, found, _ = lens(capsys, tiny_folder, "--lens", name)
    assert status == 0
    assert list(found)[:4] == ["tokens", "layers", "kl", "top"]
    assert found["tokens"] == ["w1", "w2", "w3"]
    assert found["layers"] == [0, 1, 2, 3]
    assert [len(row) for row in found["kl"]] == [3] * 4
    assert max(found["kl"][-1]) == 0
    assert min(found["kl"][0]) > 0
    assert [[len(cell) for cell in row] for row in found["top"]] == [[10] * 3] * 4
    for row in found["top"]:
        for cell in row:
            words, shares = zip(*cell, strict=True)
            assert all(isinstance(word, str) for word in words)
            assert list(shares) == sorted(shares, reverse=True)
            assert sum(shares) <= 1 + 1e-5


def test_stride_middle_and_top(capsys: pytest.CaptureFixture[str], tiny_folder: Path):
    _, found, _ = lens(capsys, tiny_folder, "--stride", "2", "--middle", "--top", "2")
    assert found["layers"] == [0, 0.5, 2, 2.5, 3]
    assert {len(cell) for row in found["top"] for cell in row} == {2}


def test_for_a_person(capsys: pytest.CaptureFixture[str], tiny_folder: Path):
    assert main(["lens", "--model", str(tiny_folder), "--text", "w1 w2 w3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["w1", "w2", "w3"]
    assert len(lines) == 3 + 2 * 4
    assert lines[-1].split() == ["0.000"] * 3


def test_settings_train_lenses_of_their_own(
    capsys: pytest.CaptureFixture[str], tiny_folder: Path, tmp_path: Path
):
    settings = [f"{key}={value}" for key, value in (SMALL | {"tuned_from": save(tmp_path / "own")}).items()]
    own = [x for setting in settings for x in ("--set", setting)]
    _, found, _ = lens(capsys, tiny_folder, "--lens", "tuned", *own)
    _, plain, _ = lens(capsys, tiny_folder, "--lens", "tuned")
    requests_of = [json.loads((Path(one["folder"]) / "request.json").read_text()) for one in (found, plain)]
    trained, by_default = (one["lens"]["trained"] for one in requests_of)
    training = RunStore().get(trained).request.lens_training
    assert training.tuned_from == str(tmp_path / "own")
    assert trained != by_default
    assert found["kl"][0] != plain["kl"][0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--set", "oca_stesp=3"], "oca_stesp"),
        (["--set", "oca_steps=0"], "oca_steps"),
        (["--set", "oca_steps"], "KEY=VALUE is needed"),
        (["--lens", "tund"], "did you mean 'tuned'"),
        (["--stride", "0"], "stride"),
        (["--text", ""], "text"),
    ],
)
def test_wrong_requests(capsys: pytest.CaptureFixture[str], tiny_folder: Path, options: list[str], says: str):
    status, found, line = lens(capsys, tiny_folder, *options)
    assert (status, found) == (2, None)
    assert says in line


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--lens", "telescope"], "unknown lens 'telescope'"),
        (["--text", "w1 " * 40], "the text has 40 tokens"),
    ],
)
def test_nothing_is_trained_for_a_reading_that_is_refused(
    capsys: pytest.CaptureFixture[str],
    tiny_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    says: str,
):
    monkeypatch.setattr("engine.instruments.lens.instrument.TrainLensesInstrument.find", None)
    status, found, err = lens(capsys, tiny_folder, *options, "--set", "oca_steps=3")
    assert (status, found) == (2, None)
    assert says in err
