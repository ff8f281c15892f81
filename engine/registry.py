"""Registries of tasks, ablations, methods and the like: a decorator in a new file registers its class.

A registry imports every module of its package once, on the first look-up; the modules register
themselves under the name that users type. Names are unique; the error for an unknown name has the nearest
one.
"""

import importlib
import pkgutil
from collections.abc import Callable
from importlib.util import find_spec
from types import ModuleType
from typing import Generic, TypeVar

from engine.errors import unknown_name

Item = TypeVar("Item")
Class = TypeVar("Class", bound=type)


def modules_named(package: str, name: str) -> list[ModuleType]:
    """Import the modules of one name in the folders of a package, and return them in the folders' order.

    Args:
        package: dotted name of the package, for instance "engine.instruments".
        name: of the module, for instance "instrument"; a folder without one is passed over.
    """
    inside = pkgutil.iter_modules(importlib.import_module(package).__path__)
    names = [f"{package}.{folder.name}.{name}" for folder in inside if folder.ispkg]
    return [importlib.import_module(module) for module in names if find_spec(module) is not None]


class Registry(Generic[Item]):
    """Named items of one kind that live in one package, one module or one folder each.

    Args:
        kind: the word for an item in error messages ("task", "ablation", "method").
        package: dotted name of the package whose modules register items.
        module: name of the module that registers the item of a folder, where each item has a folder.
    """

    def __init__(self, kind: str, package: str, module: str | None = None) -> None:
        self.kind = kind
        self._package, self._module = package, module
        self._items: dict[str, Item] = {}
        self._loaded = False

    def register(self, name: str) -> Callable[[Class], Class]:
        """Return a class decorator that instantiates the class without arguments and registers it."""

        def decorate(cls: Class) -> Class:
            if name in self._items:
                raise ValueError(f"{self.kind} '{name}' is registered twice")
            self._items[name] = cls()
            return cls

        return decorate

    def get(self, name: str) -> Item:
        """Return the item called `name`.

        Raises:
            RequestError: no such item; the message names the nearest one.
        """
        self._load()
        if name not in self._items:
            raise unknown_name(self.kind, name, self._items)
        return self._items[name]

    def names(self) -> list[str]:
        """Return all names, sorted."""
        self._load()
        return sorted(self._items)

    def _load(self) -> None:
        if self._loaded:
            return
        if self._module is None:
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self._package}.{module.name}")
        else:
            modules_named(self._package, self._module)
        self._loaded = True
