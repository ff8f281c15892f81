"""Text from users and files in places that read markdown."""

import re

# What markdown, Streamlit's colours and icons (`:red[…]`, `:material/…:`) and formulas begin with.
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+!|~$:])")


def plain(text: str) -> str:
    """Return `text` so that Streamlit shows it as it is, in one line.

    Names of models, tasks and runs, notes and error messages may come from an imported file: as markdown they
    could load a picture from anywhere.
    """
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
