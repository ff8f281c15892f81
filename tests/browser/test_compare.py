"""The Compare page in a real browser: linked zoom, selection in all graphs, jobs, the URL."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, expect

from engine.circuits.graph import Graph
from engine.models import shape_of_folder, weights_hash
from engine.runs.store import RunStore
from engine.tasks.user_file import file_hash
from tests.app.fake_run import write_fake_run
from tests.browser.conftest import Server, click_point, serve, settled

pytestmark = pytest.mark.browser
JOB = 240_000  # ms, an upper bound: a job starts worker processes that load torch

RANGES = """() => [...document.querySelectorAll('[class*=st-key-compare-graph] .plotly-view')].map((view) => {
  const { xaxis, yaxis } = view._fullLayout;
  return [...xaxis.range, ...yaxis.range];
})"""
NODES = """(place) => {
  const plot = document.querySelector(`.st-key-compare-graph-${place} .plotly-view`);
  const { left, top } = plot.getBoundingClientRect(), { xaxis, yaxis } = plot._fullLayout;
  const { customdata, x, y } = plot._fullData.find((one) => one.name === 'nodes');
  return Object.fromEntries(customdata.map((name, i) =>
    [name, [left + xaxis._offset + xaxis.d2p(x[i]), top + yaxis._offset + yaxis.d2p(y[i])]]));
}"""
RINGED = """(place) => {
  const plot = document.querySelector(`.st-key-compare-graph-${place} .plotly-view`);
  const { customdata, marker } = plot._fullData.find((one) => one.name === 'nodes');
  return customdata.filter((_, i) => marker.line.width[i] > 3);
}"""


@dataclass(frozen=True)
class Compared:
    """A dashboard of its own, so that its jobs disturb no other test.

    Attributes:
        first, second: made-up runs of one model.
        tiny: made-up runs of a real tiny model, so that their circuits can be measured.
    """

    url: str
    first: str
    second: str
    tiny: tuple[str, str]


@pytest.fixture(scope="module")
def served(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compared]:
    folder = tmp_path_factory.mktemp("compared")
    store = RunStore(folder / "runs")
    first, second = (write_fake_run(store, model="fake-4l", seed=seed) for seed in (0, 1))
    shape = shape_of_folder(server.model)
    one, other = (
        write_fake_run(
            store,
            Graph(shape.n_layers, shape.n_heads),
            sizes=(20, 60, 200),
            size=60,
            seed=seed,
            model=str(server.model),
            weights_hash=weights_hash(server.model),
            task=str(server.task),
            task_hash=file_hash(server.task),
        )
        for seed in (0, 1)
    )
    process, url = serve(folder / "runs", folder / "log")
    yield Compared(url, first, second, (one, other))
    process.terminate()
    process.wait(timeout=20)


def opened(page: Page, url: str) -> Page:
    """Open a comparison of two runs and wait until its page is complete and stands still."""
    page.goto(url)
    for place in (0, 1):
        expect(page.locator(f".st-key-compare-graph-{place} .main-svg").first).to_be_visible()
    expect(page.get_by_role("heading", name="One circuit under every ablation")).to_be_visible()
    settled(page)
    return page


def compare(page: Page, served: Compared, query: str = "") -> Page:
    return opened(page, f"{served.url}/compare?runs={served.first},{served.second}{query}")


def test_zoom_in_one_graph_is_the_zoom_of_all_and_outlives_the_slider(page, served):
    compare(page, served)
    home = page.evaluate(RANGES)
    assert home[0] == home[1]
    x, y = page.evaluate(NODES, 0)["input"]
    page.mouse.move(x, y - 100)
    page.mouse.wheel(0, -300)
    page.wait_for_function(
        f"(home) => {{ const [a, b] = ({RANGES})(); return a[1] - a[0] < home && `${{a}}` === `${{b}}`; }}",
        arg=0.95 * (home[0][1] - home[0][0]),
    )
    page.wait_for_timeout(300)
    zoomed = page.evaluate(RANGES)
    slider = page.locator(".st-key-compare-edges input[type=range]")
    slider.focus()
    slider.press("ArrowRight")
    expect(page).to_have_url(re.compile("edges=300"))
    settled(page)
    assert page.evaluate(RANGES)[0] == pytest.approx(zoomed[0])
    assert page.evaluate(RANGES)[1] == pytest.approx(zoomed[1])


def test_a_node_clicked_in_one_graph_is_selected_in_all_and_esc_clears(page, served):
    compare(page, served)
    both = page.evaluate(NODES, 0).keys() & page.evaluate(NODES, 1).keys()
    name = min(name for name in both if name.startswith("a1."))
    click_point(page, "compare-graph-1", f"(name) => ({NODES})(1)[name]", name)
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    settled(page)
    assert [page.evaluate(RINGED, place) for place in (0, 1)] == [[name], [name]]
    page.wait_for_url(lambda url: f"select={name}" in url)
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Edges", exact=True)).to_be_visible()
    page.wait_for_url(lambda url: "select" not in url)
    settled(page)
    assert [page.evaluate(RINGED, place) for place in (0, 1)] == [[], []]


def test_the_url_restores_what_was_seen(page, served, browser: Browser):
    compare(page, served, "&edges=300&metric=faithfulness&select=input")
    expect(page.locator(".st-key-compare-metric input")).to_have_value("Faithfulness")
    shared = page.url
    context = browser.new_context()
    other = opened(context.new_page(), shared)
    other.wait_for_url(shared)
    expect(other.get_by_role("heading", name="input", exact=True)).to_be_visible()
    expect(other.locator(".st-key-compare-edges input[type=range]")).to_have_value("4")
    assert len(other.evaluate(RANGES)) == 2
    context.close()


def test_the_page_keeps_its_choice_while_another_page_is_visited(page, served):
    compare(page, served, "&edges=300")
    page.get_by_role("link", name="Explore").click()
    expect(page.locator(".st-key-graph .main-svg").first).to_be_visible()
    page.get_by_role("link", name="Compare").click()
    page.wait_for_url(lambda url: "edges=300" in url and served.second in url)
    expect(page.locator(".st-key-compare-graph-1 .main-svg").first).to_be_visible()


def test_graphs_stand_in_one_row_on_a_small_screen_and_dark(browser: Browser, served):
    context = browser.new_context(color_scheme="dark", viewport={"width": 1280, "height": 800})
    page = compare(context.new_page(), served)
    boxes = [page.locator(f".st-key-compare-graph-{place}").bounding_box() for place in (0, 1)]
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    marks = (
        "() => document.querySelector('.st-key-compare-graph-0 .plotly-view')._fullData.at(-1).marker.color"
    )
    assert page.evaluate(marks) == "#14171C"
    context.close()


def test_what_two_circuits_share_is_measured_and_missing_evaluations_are_made(page, served):
    opened(page, f"{served.url}/compare?runs={','.join(served.tiny)}")
    page.get_by_role("button", name="Measure these 6 circuits").click()
    expect(page.locator(".st-key-compare-combined .main-svg").first).to_be_visible(timeout=JOB)
    expect(page.get_by_text(re.compile("run measure-tiny-next-counterfactual"))).to_be_visible()
    field = page.locator(".st-key-compare-under input")
    field.click()
    field.fill("Zero")
    page.get_by_role("option", name="Zero", exact=True).click()
    expect(page.get_by_text("Not evaluated under zero yet")).to_be_visible()
    page.get_by_role("button", name="Evaluate these 2").click()
    expect(page.locator(".st-key-compare-curves .main-svg").first).to_be_visible(timeout=JOB)
    expect(page.get_by_text("Not evaluated under zero yet")).to_have_count(0, timeout=JOB)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0, timeout=JOB)
    expect(page.get_by_text("failed")).to_have_count(0)
    page.wait_for_url(lambda url: "under=zero" in url)
