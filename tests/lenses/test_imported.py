"""Translators of the tuned-lens package say here what they say there."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from engine.errors import RequestError
from engine.experiments import run
from engine.lenses.imported import load_translators
from engine.models import load_model
from engine.progress import silent
from engine.runs.store import RunStore
from tests.instruments.lens.test_lens_runs import SMALL, TEXT, reading, training
from tests.tiny import FAMILIES, save_tiny

CONFIG = {"base_model_name_or_path": "tiny", "d_model": 24, "num_hidden_layers": 3, "bias": True}


def state() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    state = {}
    for layer in range(3):
        state[f"{layer}.weight"] = 0.1 * torch.randn((24, 24), generator=generator)
        state[f"{layer}.bias"] = torch.randn(24, generator=generator)
    return state


def save(folder: Path, kind: str = "pt", **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))
    if kind == "pt":
        torch.save(state(), folder / "params.pt")
    else:
        save_file(state(), folder / "params.safetensors")
    return folder


@pytest.mark.parametrize(("family", "kind"), [("gpt2", "pt"), ("gpt_neox", "safetensors"), ("llama", "pt")])
def test_logits_equal_those_by_hand_from_hidden_states(tmp_path: Path, family: str, kind: str):
    folder, lens = save_tiny(FAMILIES[family], tmp_path / "model"), save(tmp_path / "lens", kind)
    store = RunStore(tmp_path / "runs")
    request = training(str(folder), lens_training=SMALL | {"tuned_from": str(lens)})
    trained = store.get(run(request, silent, store))
    assert trained.result.places == ["0", "1", "2"]
    assert ("imported" in " ".join(trained.result.notes)) == (family != "llama")
    assert "tuned.step" not in trained.result.history
    request = reading(str(folder), lenses=["tuned"], trained=trained.run_id, words=["w7", "w9"])
    finished = store.get(run(request, silent, store))
    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    norm = {"gpt2": "transformer.ln_f", "gpt_neox": "gpt_neox.final_layer_norm", "llama": "model.norm"}[
        family
    ]

    unembedding = network.get_output_embeddings()
    assert unembedding is not None
    head = unembedding.weight

    def by_hand(tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return what translators and model say, [3, S, V] and [S, V]."""
        with torch.no_grad():
            out = network(tokens, output_hidden_states=True)
            ends = []
            for layer in range(3):
                h = out.hidden_states[layer][0]
                h = h + torch.nn.functional.linear(h, state()[f"{layer}.weight"], state()[f"{layer}.bias"])
                ends.append(torch.nn.functional.linear(network.get_submodule(norm)(h), head))
        return torch.stack(ends).log_softmax(-1), out.logits[0].log_softmax(-1)

    model = load_model(str(folder), device="cpu")
    lenses_say, model_says = by_hand(torch.tensor([model.prompt_ids(TEXT)]))
    assert finished.tensors["raced.tuned"][:3] == pytest.approx(
        lenses_say.exp()[..., [8, 10]].numpy(), abs=1e-4
    )
    kl = (model_says.exp() * (model_says - lenses_say)).sum(-1)
    assert finished.tensors["kl.tuned"][:3] == pytest.approx(kl.numpy(), abs=1e-3)
    if family != "llama":
        with pytest.raises(RequestError, match="tuned-lens package"):
            run(
                reading(
                    str(folder), lenses=["tuned"], trained=trained.run_id, ablated=["m0"], ablation="zero"
                ),
                silent,
                store,
            )
    if family != "gpt_neox":
        with pytest.raises(RequestError, match="in the middle of a layer"):
            run(reading(str(folder), lenses=["oca"], trained=trained.run_id, middle=True), silent, store)


def test_a_measured_lens_is_the_one_that_is_read(tmp_path: Path):
    folder, lens = save_tiny(FAMILIES["gpt2"], tmp_path / "model"), save(tmp_path / "lens")
    store = RunStore(tmp_path / "runs")
    file = tmp_path / "text.txt"
    file.write_text(" ".join(f"w{i * 7 % 60}" for i in range(110)))
    settings = SMALL | {"tuned_from": str(lens), "texts": str(file), "length": 6, "held_out": 10}
    trained = store.get(run(training(str(folder), lens_training=settings), silent, store))
    # The last tenth of 22 texts of 5 words and BOS begins with the 21st.
    first = "<s> " + " ".join(f"w{i * 7 % 60}" for i in range(20 * 5, 21 * 5))
    finished = store.get(
        run(
            reading(str(folder), first, lenses=["tuned"], trained=trained.run_id),
            silent,
            store,
        )
    )
    expected = finished.tensors["kl.tuned"][:3, 1:].mean(1)
    assert np.allclose(trained.tensors["kl.tuned"][0], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"d_model": 25}, "of width 25; this one has 3 of width 24"), ({"num_hidden_layers": 2}, "2 layers")],
)
def test_translators_of_other_models(tiny_folder: Path, tmp_path: Path, changes: Any, says: str):
    shape = load_model(str(tiny_folder), device="cpu").shape
    with pytest.raises(RequestError, match=says):
        load_translators(save(tmp_path / "lens", **changes), shape)


def test_broken_folders(tiny_folder: Path, tmp_path: Path):
    shape = load_model(str(tiny_folder), device="cpu").shape
    folder = save(tmp_path / "lens")
    (folder / "params.pt").write_bytes(b"cut short")
    with pytest.raises(RequestError, match="cannot be read"):
        load_translators(folder, shape)
    torch.save({k: v for k, v in state().items() if k != "1.bias"}, folder / "params.pt")
    with pytest.raises(RequestError, match=r"no '1.bias' of shape \[24\]"):
        load_translators(folder, shape)
    torch.save(state() | {"evil": Path}, folder / "params.pt")
    with pytest.raises(RequestError, match="cannot be read"):
        load_translators(folder, shape)
    (folder / "params.pt").unlink()
    with pytest.raises(RequestError, match="has no params"):
        load_translators(folder, shape)
    (folder / "config.json").write_text("{")
    save_file(state(), folder / "params.safetensors")
    with pytest.raises(RequestError, match="cannot be read"):
        load_translators(folder, shape)
