"""Tiny models, random texts of different lengths and means for them."""

import pytest
import torch

from engine.lenses.base import Basis, all_places
from engine.lenses.texts import Texts
from engine.models import Model, load_model
from tests.tiny import FAMILIES, LENGTH, save_tiny


@pytest.fixture(scope="session", params=["gpt2", "gpt_neox", "gpt_neox-serial", "llama", "mistral", "qwen3"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A tiny random model of one family."""
    folder = save_tiny(FAMILIES[request.param], tmp_path_factory.mktemp("models") / request.param)
    return load_model(str(folder), device="cpu")


def random_tokens(n: int = 6, seed: int = 0) -> torch.Tensor:
    """Return random texts that begin with BOS."""
    tokens = torch.randint(1, 60, (n, LENGTH), generator=torch.Generator().manual_seed(seed))
    tokens[:, 0] = 0
    return tokens


def random_texts(n: int = 6, seed: int = 0) -> Texts:
    """Return random texts of 1 to 6 positions that count."""
    lengths = 1 + (torch.arange(n) * 5 + seed) % (LENGTH - 1)
    positions = torch.arange(LENGTH)
    return Texts(random_tokens(n, seed), (positions > 0) & (positions <= lengths.unsqueeze(1)))


def random_basis(model: Model) -> Basis:
    """Return a basis of random means at every place the model has."""
    places = all_places(model.shape, not model.shape.parallel)
    generator = torch.Generator().manual_seed(1)
    attention = torch.randn((model.shape.n_layers, model.shape.d_model), generator=generator)
    return Basis(model.transformer, places, model.transformer.centre(attention))
