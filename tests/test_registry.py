"""Registries find what is in their package by themselves."""

import importlib
from pathlib import Path

import pytest

from engine.errors import RequestError
from engine.registry import Registry

BASE = "from engine.registry import Registry\nitems = Registry('thing', {package!r}, {module!r})\n"
ITEM = "from {package} import items\n@items.register({name!r})\nclass Item: ...\n"


def package(folder: Path, name: str, module: str | None, files: dict[str, str]) -> Registry[object]:
    """Write a package whose files each register the thing of a name, and return its registry."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(BASE.format(package=name, module=module))
    for file, thing in files.items():
        path = folder / name / file
        path.parent.mkdir(exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(ITEM.format(package=name, name=thing))
    return importlib.import_module(name).items


@pytest.fixture(autouse=True)
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)


def test_one_module_for_each(tmp_path: Path):
    things = package(tmp_path, "things_in_modules", None, {"b.py": "second", "a.py": "first"})
    assert things.names() == ["first", "second"]
    with pytest.raises(RequestError, match="first"):
        things.get("frist")


def test_one_folder_for_each(tmp_path: Path):
    files = {"one/thing.py": "first", "two/thing.py": "second", "two/other.py": "not looked for"}
    things = package(tmp_path, "things_in_folders", "thing", files | {"alone.py": "no folder"})
    assert things.names() == ["first", "second"]
    assert type(things.get("first")).__module__ == "things_in_folders.one.thing"


def test_names_are_unique():
    things: Registry[object] = Registry("thing", "engine.tasks")
    things.register("same")(object)
    with pytest.raises(ValueError, match="twice"):
        things.register("same")(object)
