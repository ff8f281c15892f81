"""What AppTest sees of a page: the Plotly views and the texts, which it has no words for."""

import json
from pathlib import Path

from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

SHELL = str(Path(__file__).resolve().parents[2] / "app" / "shell.py")


def open_page(name: str, **query: str) -> AppTest:
    """Open a page of the dashboard by the path of its address ("" is Explore), with parameters in its URL."""
    at = AppTest.from_file(SHELL, default_timeout=60)
    go_to(at, name)
    for key, value in query.items():
        at.query_params[key] = value
    at.run()
    assert not at.exception, at.exception
    return at


def go_to(at: AppTest, name: str) -> None:
    """Show another page from the next run on, by the path of its address."""
    # AppTest's own `switch_page` takes the file's name for the path until the pages are known.
    at._page_hash = calc_hash(name)


def views(at: AppTest) -> dict[str, dict]:
    """What the Plotly views were given, by key."""
    found = (json.loads(element.proto.json) for element in at.get("bidi_component"))
    return {view["view"]: view for view in found}


def figure(at: AppTest, key: str) -> dict:
    """The figure of one view."""
    return json.loads(views(at)[key]["figure"])


def drawn(at: AppTest, key: str = "graph") -> set[str]:
    """The names of the edges in the picture of a circuit."""
    return set(next(t for t in figure(at, key)["data"] if t.get("name") == "handles")["meta"]["edges"])


def text(at: AppTest) -> str:
    """All captions, markdown, headings."""
    return "\n".join(e.value for part in (at.caption, at.markdown, at.subheader, at.title) for e in part)
