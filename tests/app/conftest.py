"""What every test of the app needs."""

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """Put the real main module back: AppTest leaves its script there, and spawned workers would import it."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main
