"""A Plotly figure that keeps zoom and selection when it is redrawn.

`st.plotly_chart` makes a new chart at every change of its data and so loses zoom and selection. This
component calls `Plotly.react` on the chart it has. plotly.js is the file inside the installed plotly
package, served by a route of `app/main.py`, so a page works without a network.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import plotly
import plotly.graph_objects as go
import streamlit as st
from streamlit.components.v2 import component

from app.presentation import page_look

PLOTLY_FOLDER = Path(plotly.__file__).parent / "package_data"
PLOTLY_ROUTE = "/plotly"

_CSS = """
.plotly-view { width: 100%; }
.plotly-view:fullscreen { background: var(--st-background-color); height: 100vh !important; }
.plotly-view.pointed .nsewdrag { cursor: pointer !important; }
.plotly-view .modebar-group { padding: 0 !important; }
.plotly-view .modebar-btn { padding: 0 3px !important; }
.plotly-view .modebar:has(:focus-visible) { opacity: 1 !important; }
.plotly-view .modebar-btn:focus-visible { outline: 2px solid var(--st-primary-color) !important; }
"""

_mount = component(
    "circuit_explorer_plotly_view",
    html='<div class="plotly-view" role="figure"></div>',
    css=_CSS,
    js=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
    isolate_styles=False,
)


def plotly_view(
    figure: go.Figure,
    key: str,
    alt: str,
    height: int,
    on_event: Callable[[dict[str, Any]], None] | None = None,
    *,
    ratio: float = 0.0,
    bar: bool = True,
    zoom: bool = False,
    box: bool = False,
    clearable: bool = False,
    link: str | None = None,
) -> None:
    """Draw `figure` and report clicks and selections in it.

    Args:
        figure: a two-axis figure; while its `layout.uirevision` is the same, zoom and pan are kept.
        key: identity of the view on the page, also the name of the image it saves.
        alt: what a screen reader says.
        height: in px, at least; in a presentation as much higher as text is larger, if that fits the window.
        ratio: height over width, where that makes the figure higher and it still fits the window.
        on_event: called before the rerun with `{"kind": "click", "id": customdata of the point, "add": shift
            was down}`, `{"kind": "box", "ids": [...]}` or `{"kind": "clear"}` (Esc).
        bar: show the bar of buttons (image, zoom, reset, fullscreen) while the pointer is over the figure.
        zoom: the wheel zooms.
        box: offer selection by a box.
        clearable: Esc is reported (by the first of linked views alone).
        link: views of one link and one `layout.uirevision` show the same ranges of their axes: zooming,
            panning or resetting one moves the others at once.
    """

    def forward() -> None:
        event = st.session_state[key].get("event")
        if on_event is not None and event is not None:
            on_event(event)

    _mount(
        key=key,
        data={
            "view": key,
            "figure": figure.to_json(),
            "height": height,
            "growth": page_look().text,
            "ratio": ratio,
            "alt": alt,
            "bar": bar,
            "zoom": zoom,
            "box": box,
            "clearable": clearable,
            "link": link,
            "plotly": f"{PLOTLY_ROUTE}/plotly.min.js?v={plotly.__version__}",
        },
        on_event_change=forward,
    )
