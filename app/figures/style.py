"""Colours, widths and fonts of all figures, for a light and a dark page.

The palette is Okabe and Ito's, which stays apart under the common kinds of colour blindness; on a dark
ground its blue is too dark, so its sky blue stands in. Sign is shown by dashes, never by colour.
"""

from dataclasses import dataclass, field
from typing import Literal

import plotly.graph_objects as go

Mode = Literal["light", "dark"]

FONT = '"Source Sans", "Source Sans 3", "Helvetica Neue", Arial, sans-serif'

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
    """One page colour scheme; every colour is a CSS colour."""

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
)


def look(mode: str) -> Look:
    """Return the colour scheme called `mode` ("light" or "dark")."""
    return DARK if mode == "dark" else LIGHT


def base_layout(scheme: Look, **changes: object) -> dict[str, object]:
    """Return the layout that all figures share (fonts, clear grounds, hover box), with `changes` on top."""
    layout: dict[str, object] = {
        "template": "none",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "color": scheme.ink, "size": 13},
        "hoverlabel": {
            "bgcolor": scheme.ground,
            "bordercolor": scheme.faint,
            "font": {"family": FONT, "color": scheme.ink, "size": 13},
            "align": "left",
        },
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": scheme.muted, "activecolor": scheme.accent},
    }
    return layout | changes


def escape(text: str) -> str:
    """Return `text` so that Plotly shows it as it is: it would read < and & as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def empty_figure(scheme: Look, message: str) -> go.Figure:
    """Return a figure that shows one line of text instead of data."""
    figure = go.Figure(layout=base_layout(scheme))
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    return figure.add_annotation(text=escape(message), showarrow=False, font={"color": scheme.muted})
