"""Text on pages: from users and files in places that read markdown, and shares in per cent."""

import re

# What markdown, Streamlit's colours and icons (`:red[…]`, `:material/…:`) and formulas begin with.
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+!|~$:])")


def plain(text: str) -> str:
    """Return `text` so that Streamlit shows it as it is, in one line.

    Names of models, tasks and runs, notes and error messages may come from an imported file: as markdown they
    could load a picture from anywhere.
    """
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def percent(part: float, whole: float) -> str:
    """Return a share in per cent to two digits, as far as these tell it from everything."""
    share = 100 * part / whole
    return f"{share:.{2 if share < 99.5 else 4}g} %"
