"""Loading: every family, tokens, and models that are refused."""

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma2Config, GPT2Config

from engine.errors import CircuitExplorerError, RequestError
from engine.models import Model, load_model, weights_hash
from engine.models.load import load_tokens
from tests.tiny import FAMILIES, save_tiny


def test_shape_and_tokens(tiny_model: Model) -> None:
    shape = tiny_model.shape
    assert (shape.family, shape.n_layers, shape.n_heads, shape.d_head) == ("gpt2", 3, 4, 6)
    assert tiny_model.encode("w1 w2") == [2, 3]
    assert tiny_model.prompt_ids("w1") == [2]
    assert tiny_model.prompt_ids("w1", bos=True) == [0, 2]
    assert tiny_model.prompt_ids("w1", bos=False) == [2]
    assert tiny_model.token_id("w7") == 8
    assert tiny_model.token_id("w7 w8") is None
    assert tiny_model.continuation_id("w1", " w2") == 3
    assert tiny_model.continuation_id("w1", " w2 w3") is None


def test_dtype_and_device_can_be_chosen(tiny_folder: Path) -> None:
    model = load_model(str(tiny_folder), device="cpu", dtype="bfloat16")
    assert model.dtype == torch.bfloat16
    assert model.transformer.embedding.dtype == torch.bfloat16
    with pytest.raises(RequestError, match=r"unknown dtype 'float23': did you mean 'float32'\?"):
        load_model(str(tiny_folder), dtype="float23")
    with pytest.raises(RequestError, match="device 'cuda:77' cannot be used here"):
        load_model(str(tiny_folder), device="cuda:77")


def test_a_refused_family_is_named_with_its_reason(tmp_path: Path) -> None:
    Gemma2Config(num_hidden_layers=1).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(
        RequestError, match="family 'gemma2' is refused: it norms what attention and MLP write"
    ):
        load_model(str(tmp_path))


def test_an_option_that_would_not_be_exact_is_refused(tmp_path: Path) -> None:
    config = GPT2Config(vocab_size=61, n_embd=24, n_layer=3, n_head=4, scale_attn_by_inverse_layer_idx=True)
    with pytest.raises(RequestError, match="with scale_attn_by_inverse_layer_idx=True is refused"):
        load_model(str(save_tiny(config, tmp_path)))


def test_a_model_we_cannot_reproduce_is_refused(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a configuration hides: the loaded arithmetic is compared with the model's own logits."""
    monkeypatch.setattr("engine.models.families._window", lambda config, layer: 2)
    with pytest.raises(CircuitExplorerError, match="differs from this model's own"):
        load_model(str(tiny_folder), device="cpu")


def test_pickled_weights_are_never_opened(tiny_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04cposix\nsystem\n")
    with pytest.raises(RequestError, match=r"only pytorch_model.bin, which is pickled and is never opened"):
        load_model(str(folder))


def test_broken_folders_say_what_is_wrong(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"has no config.json"):
        load_model(str(tmp_path))
    folder = shutil.copytree(tiny_folder, tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(RequestError, match="cannot be loaded"):
        load_model(str(folder))
    (folder / "config.json").write_text('{"model_type": ')
    with pytest.raises(RequestError, match=r"config.json' cannot be read"):
        load_model(str(folder))


def test_an_unknown_model_names_the_nearest_and_the_shipped_ones() -> None:
    with pytest.raises(RequestError, match=r"did you mean 'explorer-4l'\? shipped models: .*explorer-4l"):
        load_model("explorer4l")
    with pytest.raises(RequestError, match="no such folder, and no Hugging Face id"):
        load_model("/no/such/folder")


def test_the_hash_is_of_weights_and_configuration(tiny_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "copy")
    assert weights_hash(folder) == weights_hash(tiny_folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"layer_norm_epsilon": 1e-3}))
    assert weights_hash(folder) != weights_hash(tiny_folder)


def test_a_real_pretrained_model_tells_its_story(shared_data: Path) -> None:
    model = load_model(str(shared_data / "models" / "stories260K"), device="cpu")
    ids = model.prompt_ids("Once upon a time, there was a little girl named")
    assert ids[0] == model.tokenizer.bos_token_id
    for _ in range(3):
        ids.append(int(model.transformer.run(torch.tensor([ids])).logits.argmax()))
    assert model.tokenizer.decode(ids, skip_special_tokens=True).endswith("girl named Lily. She")


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused_where_it_matters(tmp_path):
    """Tokens that a text does not have do no harm, as a padding token that was added."""
    folder = save_tiny(FAMILIES["gpt2"], tmp_path / "model")
    words = load_tokens(str(folder)).tokenizer
    words.add_tokens(["w60", "[PAD]"])
    words.save_pretrained(folder)
    model = load_model(str(folder), device="cpu")
    assert model.prompt_ids("w1 w2") == [2, 3]
    for read in (model.prompt_ids, model.encode, model.token_id):
        with pytest.raises(RequestError, match=r"makes token 61 of .*w60.*embeddings of 61 tokens"):
            read("w60")


@pytest.mark.parametrize("load", [load_model, load_tokens])
def test_a_folder_without_a_tokenizer_is_refused(load, tmp_path):
    folder = save_tiny(FAMILIES["gpt2"], tmp_path / "model")
    for path in folder.glob("*token*"):
        path.unlink()
    with pytest.raises(RequestError, match="no tokenizer lies in"):
        load(str(folder))


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2"])
def test_a_context_of_five_tokens_works(family, tmp_path):
    config = copy.deepcopy(FAMILIES[family])
    config.max_position_embeddings = 5
    folder = str(save_tiny(config, tmp_path / "model"))
    model = load_model(folder, device="cpu")
    tokens = torch.tensor([[2, 3, 4, 5, 6]])
    with torch.no_grad():
        expected = AutoModelForCausalLM.from_pretrained(folder)(tokens).logits[:, -1]
    assert torch.allclose(model.transformer.run(tokens).logits, expected, atol=1e-4)


def test_a_text_of_which_the_tokenizer_makes_nothing_is_refused(tmp_path):
    """As where a library takes a tokenizer's file for that of another kind."""
    model = load_tokens(str(save_tiny(FAMILIES["qwen2"], tmp_path / "model")))
    assert model.tokenizer("w1 w2")["input_ids"] == []
    with pytest.raises(RequestError, match="makes no token of 'w1 w2'"):
        model.prompt_ids("w1 w2")
