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
    """Draw the frame and the page in it.

    The first page has no path of its own; an address with its name leads to it.
    """
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
            # The default page stands at the root, whatever its path; its own name is left for a way to it.
            url_path="start" if page is all_pages[0] else page.path or page.folder,
            default=page is all_pages[0],
        )
        for page in all_pages
    ]
    first = st.Page(
        lambda: st.switch_page(scripts[0], query_params=st.query_params.to_dict()),
        title=all_pages[0].title,
        url_path=all_pages[0].folder,
        visibility="hidden",
    )
    page = st.navigation([*scripts, first], position="top")
    presentation_switch(page.url_path)
    page.run()


# Worker processes import the main module of the process that starts them, which is this one: not to be drawn.
if __name__ == "__main__":
    shell()
