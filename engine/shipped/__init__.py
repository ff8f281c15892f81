"""Paths of the files that come with the program: the folders assets, cached_runs and .streamlit.

In the sources, they are beside engine/ and app/. In an installed wheel, they are in `files/` beside this
module, as pyproject.toml says.
"""

from pathlib import Path

from engine.errors import CircuitExplorerError

FOLDERS = ("assets", "cached_runs", ".streamlit")
_INSTALLED = Path(__file__).resolve().parent / "files"
_SOURCES = Path(__file__).resolve().parents[2]


def shipped(name: str) -> Path:
    """Return the path of a folder of `FOLDERS`, whether or not it exists; see `check_shipped`."""
    installed = _INSTALLED / name
    return installed if installed.is_dir() else _SOURCES / name


def check_shipped() -> None:
    """Check that the folders that come with the program exist.

    Raises:
        CircuitExplorerError: a folder is missing.
    """
    for folder in map(shipped, FOLDERS):
        if not folder.is_dir():
            raise CircuitExplorerError(
                f"'{folder}' is missing, which comes with Circuit Explorer: install it again, from a whole "
                "wheel or a whole copy of the sources"
            )
