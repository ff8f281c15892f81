"""Models: loading, sizes, and the catalogue of shipped ones."""

from engine.models.catalogue import find_model, shipped_models, weights_hash
from engine.models.load import load_model, shape_of_folder
from engine.models.model import Model
from engine.models.shape import ModelShape

__all__ = [
    "Model",
    "ModelShape",
    "find_model",
    "load_model",
    "shape_of_folder",
    "shipped_models",
    "weights_hash",
]
