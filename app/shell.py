"""The frame around every page: title, navigation, the list of pages."""

from pathlib import Path

import streamlit as st

from app.figures.style import LIGHT
from app.presentation import page_look, presentation_switch
from app.views import pages
from engine.shipped import shipped

APP = Path(__file__).parent
ASSETS = shipped("assets")
# Streamlit's wide layout leaves 5 rem free on both sides, a fifth of a small screen.
STYLE = "<style>.stMainBlockContainer { padding-left: 2.2rem; padding-right: 2.2rem; }</style>"


def shell() -> None:
    """Draw the frame and the page in it."""
    st.set_page_config(page_title="Circuit Explorer", page_icon=str(ASSETS / "logo.svg"), layout="wide")
    st.html(STYLE)
    wordmark = (ASSETS / "wordmark.svg").read_text(encoding="utf-8").replace(LIGHT.ink, page_look().ink)
    st.logo(wordmark, size="large", icon_image=str(ASSETS / "logo.svg"))
    all_pages = pages()
    scripts = [
        st.Page(
            APP / page.script,
            title=page.title,
            icon=page.icon,
            url_path=page.path or page.folder,
            default=page is all_pages[0],
        )
        for page in all_pages
    ]
    page = st.navigation(scripts, position="top")
    presentation_switch(page.url_path)
    page.run()


# Worker processes import the main module of the process that starts them, which is this one: not to be drawn.
if __name__ == "__main__":
    shell()
