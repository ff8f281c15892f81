"""The script that `streamlit run` serves: the dashboard, and plotly.js from the installed package."""

import gc
import importlib
from pathlib import Path

import streamlit as st
from starlette.responses import FileResponse
from starlette.routing import Route

from app.components.plotly_view import PLOTLY_FOLDER, PLOTLY_ROUTE
from app.errors import show_unforeseen

# Torch takes seconds to import: they are spent when the server starts, not in the first page. Nothing of it
# is ever garbage, so it is not searched for any, now or later.
gc.disable()
importlib.import_module("app.requests")
gc.freeze()
gc.enable()


async def plotly_js(_request: object) -> FileResponse:
    """Serve plotly.js; its address holds its version, so a browser may keep it for good."""
    return FileResponse(
        PLOTLY_FOLDER / "plotly.min.js", headers={"Cache-Control": "public, max-age=31536000, immutable"}
    )


ROUTES = [Route(f"{PLOTLY_ROUTE}/plotly.min.js", plotly_js)]

app = st.App(Path(__file__).with_name("shell.py"), on_script_error=show_unforeseen, routes=ROUTES)
