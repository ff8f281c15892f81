"""The frame around the pages and the view that draws figures, in a real browser."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import double_click, serve, settled

pytestmark = pytest.mark.browser

# A page of three graphs: two of one link and one shape, one of another shape.
LINKED = """
import streamlit as st

from app.components.plotly_view import plotly_view
from app.figures.graph import circuit_figure
from app.figures.style import look
from engine.circuits.circuit import top_edges
from engine.circuits.graph import Graph
from tests.app.fake_run import fake_scores

graphs = {"left": Graph(4, 8), "right": Graph(4, 8), "other": Graph(3, 4)}
heard = st.session_state.setdefault("heard", [])
size = st.select_slider("Edges", [100, 200])
for place, (name, graph) in zip(st.columns(3), graphs.items(), strict=True):
    with place:
        circuit = top_edges(graph, fake_scores(graph, len(name)), size)
        figure = circuit_figure(circuit, look("light"))
        plotly_view(
            figure, name, f"Graph {name}", 420, heard.append, zoom=True, clearable=True, link="compare"
        )
st.text(f"heard {heard}")
"""
RANGES = """() => Object.fromEntries(['left', 'right', 'other'].map((name) => {
  const { xaxis, yaxis } = document.querySelector(`.st-key-${name} .plotly-view`)._fullLayout;
  return [name, [...xaxis.range, ...yaxis.range]];
}))"""
MAIN = """
import streamlit as st

from app.main import ROUTES

app = st.App({page!r}, routes=ROUTES)
"""
MIDDLE = """(name) => {
  const view = document.querySelector(`.st-key-${name} .plotly-view`);
  const { left, top, width, height } = view.getBoundingClientRect();
  return [left + width / 2, top + height / 2];
}"""


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[str]:
    """The address of the page of linked graphs."""
    folder = tmp_path_factory.mktemp("linked")
    (folder / "page.py").write_text(LINKED)
    (folder / "main.py").write_text(MAIN.format(page=str(folder / "page.py")))
    process, url = serve(folder / "runs", folder / "log", folder / "main.py")
    yield url
    process.terminate()
    process.wait(timeout=20)


def ranges(page: Page) -> dict[str, list[float]]:
    return page.evaluate(RANGES)


def until_ranges(page: Page, test: str) -> None:
    page.wait_for_function(f"() => {{ const now = ({RANGES})(); return {test}; }}")


@pytest.fixture
def graphs(page: Page, linked: str) -> Page:
    """The page of linked graphs, complete and at rest."""
    page.goto(linked)
    for name in ("left", "right", "other"):
        expect(page.locator(f".st-key-{name} .main-svg").first).to_be_visible()
    settled(page)
    return page


def test_linked_views_move_together_while_the_pointer_moves(graphs):
    home = ranges(graphs)
    assert home["left"] == home["right"] != home["other"]
    x, y = graphs.evaluate(MIDDLE, "left")
    graphs.mouse.move(x, y)
    graphs.mouse.down()
    graphs.mouse.move(x + 60, y + 40, steps=5)
    until_ranges(
        graphs, f"now.right[0] < {home['right'][0] - 0.1} && now.right[3] > {home['right'][3] + 0.1}"
    )
    graphs.mouse.up()
    settled(graphs)
    panned = ranges(graphs)
    assert panned["right"] == pytest.approx(panned["left"])
    assert panned["other"] == home["other"]

    x, y = graphs.evaluate(MIDDLE, "right")
    graphs.mouse.move(x, y)
    graphs.mouse.wheel(0, -300)
    width = panned["left"][1] - panned["left"][0]
    until_ranges(graphs, f"now.left[1] - now.left[0] < {0.97 * width}")
    settled(graphs)
    zoomed = ranges(graphs)
    assert zoomed["left"] == pytest.approx(zoomed["right"])
    slider = graphs.locator("input[type=range]")
    slider.focus()
    slider.press("ArrowRight")
    settled(graphs)
    assert ranges(graphs) == zoomed

    double_click(graphs, x, y, lambda: ranges(graphs) == home)


def test_esc_is_reported_once_by_linked_views(graphs):
    graphs.keyboard.press("Escape")
    expect(graphs.get_by_text("heard")).to_have_text("heard [{'kind': 'clear'}]")
    settled(graphs)
    expect(graphs.get_by_text("heard")).to_have_text("heard [{'kind': 'clear'}]")


def test_presentation_hides_the_form_and_enlarges_type(page, server):
    page.goto(f"{server.url}/?run={server.run}")
    graph = page.locator(".st-key-graph .xtick text").first
    expect(graph).to_be_visible()
    settled(page)
    form = page.get_by_role("button", name=re.compile("Discover circuit"))
    expect(form).to_be_visible()
    title = page.get_by_role("heading", level=1)
    before = title.bounding_box()["height"], graph.bounding_box()["height"]

    page.get_by_role("button", name="Present", exact=True).click()
    expect(form).not_to_be_visible()
    expect(page).to_have_url(re.compile("present=1"))
    settled(page)
    after = title.bounding_box()["height"], graph.bounding_box()["height"]
    assert min(new / old for new, old in zip(after, before, strict=True)) > 1.1
    page.get_by_role("link", name="Runs").click()
    expect(page).to_have_url(re.compile("runs.*present=1"))
    page.get_by_role("link", name="Explore").click()
    expect(page).to_have_url(re.compile(f"run={server.run}&present=1"))

    page.get_by_role("button", name="Leave presentation").click()
    expect(form).to_be_visible()
    page.wait_for_url(lambda url: "present" not in url)


def test_a_presentation_can_be_bookmarked_and_left_by_going_back(page, server):
    page.goto(f"{server.url}/?run={server.run}")
    page.get_by_role("button", name="Present", exact=True).click()
    page.wait_for_url(lambda url: "present=1" in url)
    bookmark = page.url
    settled(page)
    page.go_back()
    expect(page.get_by_role("button", name="Present", exact=True)).to_be_visible()
    page.goto(bookmark)
    expect(page.get_by_role("button", name="Leave presentation")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Discover circuit"))).not_to_be_visible()


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1920, 1080)])
def test_a_presentation_needs_no_sideways_scrolling(page, server, width, height):
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"{server.url}/?run={server.run}&present=1")
    expect(page.locator(".st-key-graph .main-svg").first).to_be_visible()
    settled(page)
    wide = page.evaluate("""() => [...document.querySelectorAll('.stMain, .stMainBlockContainer')]
      .map((block) => block.scrollWidth - block.clientWidth)""")
    assert max(wide) <= 0


def test_a_figure_is_named_and_its_buttons_are_reached_by_keyboard(page, server):
    page.goto(f"{server.url}/?run={server.run}")
    figure = page.get_by_role("figure", name=re.compile("^Circuit graph with"))
    expect(figure.locator(".main-svg").first).to_be_visible()
    settled(page)
    # The form ends before the picture begins: the first button of its bar is on the way through the page.
    bar = figure.get_by_role("button", name=re.compile("Reset the view"))
    bar.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    expect(bar).to_be_focused()
    expect(figure.locator(".modebar")).to_have_css("opacity", "1")
    assert bar.evaluate("(button) => getComputedStyle(button).outlineWidth") == "2px"
    assert figure.locator("svg.main-svg:not([aria-hidden=true])").count() == 0
