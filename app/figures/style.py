"""Colours, widths and fonts of all figures, for a light and a dark page.

The palette is Okabe and Ito's, which stays apart under the common kinds of colour blindness; on a dark
ground its blue is too dark, so its sky blue stands in. Sign is shown by dashes, never by colour.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

Mode = Literal["light", "dark"]

FONT = '"Source Sans", "Source Sans 3", "Helvetica Neue", Arial, sans-serif'

LARGE = 1.5  # text on a beamer over text on a screen

# What an edge leads into: kind of reader -> words for the legend.
KIND_NAMES = {
    "q": "query",
    "k": "key",
    "v": "value",
    "head": "head in",
    "mlp": "MLP",
    "logits": "logits",
}


@dataclass(frozen=True)
class Look:
    """How figures of one page look.

    Attributes:
        mode, …: the colours, each a CSS colour.
        text: factor of the sizes of text and of margins that hold text; 1 on a screen, more on a beamer.
    """

    mode: Mode
    ground: str
    ink: str
    muted: str
    faint: str
    band: str
    ring: str
    accent: str
    fill: str
    kinds: dict[str, str] = field(default_factory=dict)
    runs: tuple[str, ...] = ()  # of runs side by side, in this order
    text: float = 1.0

    def size(self, pixels: float) -> float:
        """Return a size in pixels (of a font, of a margin that holds text) scaled by `text`."""
        return round(pixels * self.text, 1)


LIGHT = Look(
    mode="light",
    ground="#FFFFFF",
    ink="#24292F",
    muted="#5F6B76",
    faint="#D3D9DF",
    band="#F5F7F9",
    ring="#B36B00",
    accent="#0072B2",
    fill="rgba(0,114,178,0.14)",
    kinds={
        "q": "#0072B2",
        "k": "#D55E00",
        "v": "#009E73",
        "head": "#0072B2",
        "mlp": "#CC79A7",
        "logits": "#333333",
    },
    runs=("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"),
)

DARK = Look(
    mode="dark",
    ground="#14171C",
    ink="#E6E8EB",
    muted="#9AA4AF",
    faint="#3A414A",
    band="#1A1E24",
    ring="#E69F00",
    accent="#56B4E9",
    fill="rgba(86,180,233,0.16)",
    kinds={
        "q": "#56B4E9",
        "k": "#E8762C",
        "v": "#14B88A",
        "head": "#56B4E9",
        "mlp": "#D98FB8",
        "logits": "#E0E0E0",
    },
    runs=("#56B4E9", "#E8762C", "#14B88A", "#D98FB8", "#F0E442", "#A6B8FF"),
)


def look(mode: str, large: bool = False) -> Look:
    """Return the look called `mode` ("light" or "dark"), with `large` type for a beamer."""
    scheme = DARK if mode == "dark" else LIGHT
    return replace(scheme, text=LARGE) if large else scheme


def base_layout(scheme: Look, **changes: object) -> dict[str, object]:
    """Return the layout that all figures share (fonts, clear grounds, hover box), with `changes` on top."""
    layout: dict[str, object] = {
        "template": "none",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "color": scheme.ink, "size": scheme.size(13)},
        "hoverlabel": {
            "bgcolor": scheme.ground,
            "bordercolor": scheme.faint,
            "font": {"family": FONT, "color": scheme.ink, "size": scheme.size(13)},
            "align": "left",
        },
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": scheme.muted, "activecolor": scheme.accent},
    }
    return layout | changes


def faded(colour: str, opacity: float) -> str:
    """Return a colour "#RRGGBB" with an opacity from 0 to 1."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def escape(text: str) -> str:
    """Return `text` with < and & escaped, which Plotly would read as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
