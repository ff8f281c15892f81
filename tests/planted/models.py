"""The planted models, each built once."""

from functools import cache

from engine.planted import MODELS, Planted


@cache
def planted(name: str) -> Planted:
    return MODELS[name]()
