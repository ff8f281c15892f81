"""The frame around every page: title, navigation, the list of pages."""

from pathlib import Path

import streamlit as st

from app.figures.style import LIGHT
from app.presentation import page_look, presentation_switch

PAGES = Path(__file__).parent / "pages"
ASSETS = Path(__file__).parent.parent / "assets"

# Streamlit's wide layout leaves 5 rem free on both sides, a fifth of a small screen.
STYLE = "<style>.stMainBlockContainer { padding-left: 2.2rem; padding-right: 2.2rem; }</style>"


def shell() -> None:
    """Draw the frame and the page in it."""
    st.set_page_config(page_title="Circuit Explorer", page_icon=str(ASSETS / "logo.svg"), layout="wide")
    st.html(STYLE)
    wordmark = (ASSETS / "wordmark.svg").read_text(encoding="utf-8").replace(LIGHT.ink, page_look().ink)
    st.logo(wordmark, size="large", icon_image=str(ASSETS / "logo.svg"))
    pages = [
        st.Page(
            PAGES / "explore.py", title="Explore", icon=":material/hub:", url_path="explore", default=True
        ),
        st.Page(PAGES / "compare.py", title="Compare", icon=":material/compare:", url_path="compare"),
        st.Page(PAGES / "ablations.py", title="Ablations", icon=":material/grid_on:", url_path="ablations"),
        st.Page(PAGES / "trace.py", title="Causal tracing", icon=":material/timeline:", url_path="trace"),
        st.Page(PAGES / "lens.py", title="Lens", icon=":material/search:", url_path="lens"),
        st.Page(PAGES / "runs.py", title="Runs", icon=":material/folder_open:", url_path="runs"),
    ]
    page = st.navigation(pages, position="top")
    presentation_switch(page.url_path)
    page.run()


# Worker processes import the main module of the process that starts them, which is this one: not to be drawn.
if __name__ == "__main__":
    shell()
