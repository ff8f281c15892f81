"""Runs of kind "train-lenses" and "lens": completed, carried out, stored, checked."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from engine.errors import RequestError
from engine.experiments import completed, run
from engine.instruments.lens import completion
from engine.instruments.lens.instrument import TrainLensesInstrument
from engine.instruments.lens.request import Reading, ReadText, TrainLenses
from engine.instruments.lens.result import ReadTextResult, TrainLensesResult
from engine.lenses.base import LENSES
from engine.lenses.reading import read as reading_of
from engine.lenses.reading import stride
from engine.lenses.settings import LensTraining
from engine.models import Model
from engine.progress import silent
from engine.runs.folder import Run
from engine.runs.kinds import make_request
from engine.runs.store import RunStore
from tests.altered import alter
from tests.tiny import FAMILIES, save_tiny

SMALL = {
    "positions": 80,
    "validation": 30,
    "held_out": 40,
    "length": 8,
    "tuned_steps": 3,
    "oca_steps": 3,
    "linear_steps": 3,
    "directions": 3,
    "causal_texts": 2,
}
TEXT = "w1 w2 w3 w4 w5"

Read = Run[ReadText, ReadTextResult]
Trained = Run[TrainLenses, TrainLensesResult]


def training(model: str, **fields: Any) -> TrainLenses:
    return make_request("train-lenses", model=model, **fields)


def reading(model: str, text: str = TEXT, **fields: Any) -> ReadText:
    return make_request("lens", model=model, lens={"text": text, **fields})


def train_small_lenses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let lenses that are trained because a text is to be read be small."""
    monkeypatch.setattr(completion, "LensTraining", lambda: LensTraining.model_validate(SMALL))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    return RunStore(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def trained(tiny_folder: Path, store: RunStore) -> Trained:
    return store.get(run(training(str(tiny_folder), lens_training=SMALL), silent, store))


@pytest.fixture(scope="module")
def read(tiny_folder: Path, trained: Trained, store: RunStore) -> Read:
    fields = {"trained": trained.run_id, "middle": True, "words": ["w7", "w9"]}
    return store.get(run(reading(str(tiny_folder), **fields), silent, store))


def test_a_training_has_parameters_and_measures(trained: Trained):
    result, shapes = trained.result, trained.tensors.shapes
    assert result.places == ["0", "0-mid", "1", "1-mid", "2", "2-mid"]
    assert result.texts == "sampled from the model itself"
    least = {"training": 80, "validation": 30, "held_out": 40}
    assert result.positions.keys() == least.keys()
    for kind, positions in result.positions.items():
        assert least[kind] <= positions < least[kind] + 7
    assert "other texts, held out, are measured" in " ".join(result.notes)
    assert shapes["oca.constants"] == (6, 3, 24)
    assert shapes["tuned.weight"] == (6, 24, 24)
    assert shapes["mean.constants"] == (1, 3, 24)
    counts = {name: lens.parameters for name, lens in result.lenses.items()}
    linear = 6 * (24 * 24 + 24)
    assert counts == {
        "logit": 0,
        "mean": 3 * 24,
        "tuned": linear,
        "oca": (3 + 2 + 1) * 24,
        "linear-oca": linear,
    }
    for name in LENSES:
        kl = result.lenses[name].kl
        means = trained.tensors[f"kl.{name}"].mean(0)
        assert means == pytest.approx([estimate.mean for estimate in kl], abs=1e-5)
        assert all(estimate.n == result.n_texts for estimate in kl)
        low, high = kl[0].ci95
        assert low is not None
        assert high is not None
        assert low <= kl[0].mean <= high
    # In the middle of the last layer no attention is left: constants say what the model says.
    assert result.lenses["oca"].kl[-1].mean < 1e-4
    assert "oca.best" in result.history
    assert {(row.lens, row.place) for row in result.faithfulness} == {
        (name, place) for name in ("tuned", "oca") for place in "012"
    }


def test_a_reading_equals_the_slow_way(tiny_model: Model, read: Read):
    tokens = torch.tensor([tiny_model.prompt_ids(TEXT)])
    plain = tiny_model.transformer.run(tokens)
    p = tiny_model.transformer.unembed(plain.residual[-1][0]).double().log_softmax(-1)
    assert read.result.places[-1] == "output"
    for row, stream in ((0, 0), (2, 1), (4, 2)):
        q = tiny_model.transformer.unembed(plain.residual[stream][0]).double().log_softmax(-1)
        of = {key: read.tensors[f"{key}.logit"][row] for key in ("kl", "entropy", "rank", "cross_entropy")}
        assert of["kl"] == pytest.approx((p.exp() * (p - q)).sum(-1).numpy(), abs=1e-4)
        assert of["entropy"] == pytest.approx(-(q.exp() * q).sum(-1).numpy(), abs=1e-4)
        best = p.argmax(-1)
        ranks = [(q[i] > q[i, best[i]]).sum().item() + 1 for i in range(len(q))]
        assert of["rank"].tolist() == ranks
        expected = [-q[i, tokens[0, i + 1]].item() for i in range(len(q) - 1)]
        assert of["cross_entropy"][:-1] == pytest.approx(expected, abs=1e-4)
        assert np.isnan(of["cross_entropy"][-1])
        top = q.exp().topk(10)
        assert read.tensors["top_ids.logit"][row].tolist() == top.indices.tolist()
        assert read.tensors["top_p.logit"][row] == pytest.approx(top.values.numpy(), abs=1e-5)
        assert read.tensors["raced.logit"][row] == pytest.approx(q.exp()[:, [8, 10]].numpy(), abs=1e-5)
    assert read.result.raced == ["w7", "w9"]
    assert read.result.words[str(read.tensors["top_ids.logit"][0, 0, 0])].startswith(("w", "<"))


def test_every_lens_is_the_model_at_its_output_and_differences_are_zero_there(read: Read):
    for name in LENSES:
        assert abs(read.tensors[f"kl.{name}"][-1]).max() == 0
        assert (read.tensors[f"rank.{name}"][-1] == 1).all()
        assert read.tensors[f"step_kl.{name}"][-1] == pytest.approx(read.tensors[f"kl.{name}"][-2], abs=1e-5)
    kl, js = read.tensors["lens_kl"], read.tensors["lens_js"]
    assert abs(kl[:, :, -1]).max() == 0
    assert kl[1, 0, 0].min() > 0
    assert (js == js.transpose(1, 0, 2, 3)).all()
    assert js.max() <= np.log(2) + 1e-5
    assert not np.allclose(kl[0, 1, 0], kl[1, 0, 0])


def test_positions_in_parts_are_the_same(tiny_model: Model, monkeypatch: pytest.MonkeyPatch):
    generator = torch.Generator().manual_seed(0)
    finals = torch.randn((2, 3, 5, 24), generator=generator)
    output, tokens = torch.randn((5, 24), generator=generator), [0, 4, 9, 2, 7]
    asked: list[slice] = []

    def some(here: slice) -> torch.Tensor:
        asked.append(here)
        return finals[:, :, here]

    def read_all() -> dict[str, np.ndarray]:
        names = ["logit", "tuned"]
        return reading_of(tiny_model.transformer, names, some, 3, output, tokens, [3], silent)

    whole = read_all()
    monkeypatch.setattr("engine.lenses.reading._ELEMENTS", 61 * 8 * 2)
    parts = read_all()
    assert [(here.start, here.stop) for here in asked[1:]] == [(0, 2), (2, 4), (4, 6)]
    assert whole.keys() == parts.keys()
    for name, array in whole.items():
        assert np.allclose(array, parts[name], atol=1e-5, equal_nan=True)


def test_the_logit_lens_trains_nothing_and_others_find_what_was_trained(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    train_small_lenses(monkeypatch)
    store = RunStore(tmp_path)
    run(reading(str(tiny_folder), lenses=["logit"]), silent, store)
    assert len([one for one in store.list() if not one.shipped]) == 1
    said: list[str] = []
    for text in (TEXT, "w9 w8"):
        run(
            reading(str(tiny_folder), text, lenses=["oca"]),
            lambda done, total, message: said.append(message),
            store,
        )
    own = [one for one in store.list() if not one.shipped]
    assert len([one for one in own if one.request.kind == "train-lenses"]) == 1
    assert any("training the OCA lens" in message for message in said)
    again: list[str] = []
    run(
        reading(str(tiny_folder), "w3", lenses=["tuned", "mean"]),
        lambda done, total, message: again.append(message),
        store,
    )
    assert not any("training" in message for message in again)


def test_half_precision(tiny_folder: Path, store: RunStore):
    request = training(str(tiny_folder), lens_training=SMALL, dtype="bfloat16")
    trained = store.get(run(request, silent, store))
    for name in ("mean", "oca", "tuned"):
        start, *_, end = trained.result.history.get(f"{name}.kl", [1, 0])
        assert end < start
        assert trained.result.lenses[name].kl[-1].mean < 0.3
    asked = Reading(text=TEXT, trained=trained.run_id)
    request = ReadText(model=str(tiny_folder), lens=asked, dtype="bfloat16")
    assert abs(store.get(run(request, silent, store)).tensors["kl.oca"][-1]).max() == 0


def test_a_parallel_model_has_no_middle(tmp_path: Path):
    folder = str(save_tiny(FAMILIES["gpt_neox"], tmp_path / "m"))
    store = RunStore(tmp_path / "runs")
    with pytest.raises(RequestError, match="no middle"):
        completed(reading(folder, middle=True), store)
    with pytest.raises(RequestError, match="no middle"):
        completed(training(folder, lens_training={"middle": True}), store)
    done = TrainLensesInstrument().complete(training(folder, lens_training={}), store)
    assert (done.lens_training.middle, done.lens_training.length) == (False, 32)


def test_a_changed_file_of_texts_is_another_request(tiny_folder: Path, store: RunStore, tmp_path: Path):
    path = tmp_path / "some.txt"
    path.write_text("w1 w2", encoding="utf-8")
    request = training(str(tiny_folder), lens_training={"texts": str(path)})
    first = completed(request, store)
    path.write_text("w1 w3", encoding="utf-8")
    assert completed(request, store).run_id() != first.run_id()
    with pytest.raises(RequestError, match="has changed"):
        completed(first, store)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"lenses": ["oka"]}, "unknown lens 'oka': did you mean 'oca'"),
        ({"ablated": ["a9.h0"]}, "no node 'a9.h0'"),
        ({"ablated": ["input"]}, "no node 'input'"),
        ({"trained": "nothing"}, "unknown run 'nothing'"),
        ({"circuit": {"run": "nothing", "edges": 3}}, "unknown run 'nothing'"),
        ({"text": "w1 " * 40, "lenses": ["logit"]}, "the text has 40 tokens"),
        ({"words": ["w1 w2"], "lenses": ["logit"]}, "not one token"),
    ],
)
def test_wrong_requests(tiny_folder: Path, store: RunStore, fields: dict[str, Any], says: str):
    with pytest.raises(RequestError, match=says):
        run(reading(str(tiny_folder), **fields), silent, store)


def test_a_run_of_another_model_trains_no_lenses_of_this_one(
    trained: Trained, store: RunStore, tmp_path: Path
):
    other = str(save_tiny(FAMILIES["gpt2"], tmp_path / "m", seed=1))
    with pytest.raises(RequestError, match="trained no lenses of"):
        completed(reading(other, trained=trained.run_id), store)


@pytest.mark.parametrize(
    ("array", "shape"), [("kl.oca", (7, 1)), ("top_ids.oca", (7, 5, 3)), ("lens_kl", (5, 7))]
)
def test_arrays_of_wrong_shapes_are_refused(read: Read, tmp_path: Path, array: str, shape: tuple[int, ...]):
    folder = tmp_path / read.run_id
    folder.mkdir()
    for name in ("request.json", "result.json"):
        (folder / name).write_bytes((read.folder / name).read_bytes())
    arrays = load_file(read.folder / "tensors.safetensors")
    arrays[array] = np.zeros(shape, arrays[array].dtype)
    save_file(arrays, folder / "tensors.safetensors")
    with pytest.raises(RequestError, match=f"'{array}' has shape"):
        RunStore(tmp_path).get(folder)
    del arrays[array]
    save_file(arrays, folder / "tensors.safetensors")
    with pytest.raises(RequestError, match=f"has no '{array}'"):
        RunStore(tmp_path).get(folder)


@pytest.mark.parametrize("places", [["0", "1"], ["output", "1"], ["0", "x", "output"]])
def test_places_that_are_none_are_refused(read: Read, tmp_path: Path, places: list[str]):
    folder = tmp_path / read.run_id
    shutil.copytree(read.folder, folder)
    alter(folder, lambda result: result.update(places=places))
    with pytest.raises(RequestError, match="places"):
        RunStore(tmp_path).get(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r.update(lenses={}), "lenses"),
        (lambda r: r["faithfulness"][0].update(place="7"), "of no lens or place"),
        (lambda r: r["faithfulness"][0].update(lens="other"), "of no lens or place"),
        (lambda r: r["lenses"]["oca"]["entropy"].pop(), "not measured at every place"),
    ],
)
def test_altered_trainings_are_refused(
    trained: Trained, tmp_path: Path, change: Callable[[dict[str, Any]], object], says: str
):
    folder = tmp_path / trained.run_id
    shutil.copytree(trained.folder, folder)
    alter(folder, change)
    with pytest.raises(RequestError, match=says):
        RunStore(tmp_path).get(folder)


def test_stride_keeps_the_last_row():
    rows = ["0", "0-mid", "1", "1-mid", "2", "2-mid", "output"]
    assert [rows[i] for i in stride(rows, 2)] == ["0", "0-mid", "2", "2-mid", "output"]
    assert [rows[i] for i in stride(rows, 5)] == ["0", "0-mid", "output"]
    assert stride(["0", "1", "2", "3", "output"], 3) == [0, 3, 4]
    assert stride(["0", "1", "output"], 1) == [0, 1, 2]
