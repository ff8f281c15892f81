"""Methods on the Compare page, and the stability of a run on Explore, in a real browser."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, expect

from engine.runs.store import RunStore
from tests.app.fake_composite import write_fake_stability, write_fake_sweep
from tests.app.fake_run import write_fake_run
from tests.browser.conftest import Server, click_point, serve, settled
from tests.browser.test_jobs import JOB, choose

pytestmark = pytest.mark.browser

# The place on the screen of the first point of a line.
POINT = """(name) => {
  const plot = document.querySelector('.st-key-compare-pareto .plotly-view');
  const { left, top } = plot.getBoundingClientRect(), { xaxis, yaxis } = plot._fullLayout;
  const line = plot._fullData.find((one) => one.name === name);
  return [left + xaxis._offset + xaxis.d2p(line.x[1]), top + yaxis._offset + yaxis.d2p(line.y[1])];
}"""
LEGENDS = """() => {
  const plot = document.querySelector('.st-key-compare-pareto .plotly-view');
  const boxes = [...plot.querySelectorAll('.legend, .legend2')].map((one) => one.getBoundingClientRect());
  return boxes.map(({ left, right, top, bottom }) => [left, right, top, bottom]);
}"""


@dataclass(frozen=True)
class Swept:
    """A dashboard of its own, with a sweep and the repeats of a run."""

    url: str
    sweep: str
    run: str
    stability: str


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[Swept]:
    folder = tmp_path_factory.mktemp("swept")
    store = RunStore(folder / "runs")
    sweep = write_fake_sweep(store, methods=("eap", "ugs", "acdc", "edge-pruning", "random"), model="fake-4l")
    run = write_fake_run(store, model="fake-4l", seed=9)
    stability = write_fake_stability(store, run)
    process, url = serve(folder / "runs", folder / "log")
    yield Swept(url, sweep, run, stability)
    process.terminate()
    process.wait(timeout=20)


def methods(page: Page, swept: Swept, query: str = "") -> Page:
    page.goto(f"{swept.url}/compare?sweep={swept.sweep}{query}")
    expect(page.locator(".st-key-compare-pareto .main-svg").first).to_be_visible()
    settled(page)
    return page


def test_a_point_that_is_clicked_leads_to_its_circuit(page, swept):
    methods(page, swept)
    click_point(page, "compare-pareto", POINT, "EAP, Counterfactual")
    page.wait_for_url(lambda url: "line=eap%2Ccounterfactual" in url)
    expect(page.get_by_role("button", name="Open circuit")).to_be_visible()
    settled(page)
    page.get_by_role("button", name="Open circuit").click()
    page.wait_for_url(lambda url: "run=eap-fake-4l-ioi-counterfactual" in url and "/compare" not in url)
    expect(page.locator(".st-key-graph .main-svg").first).to_be_visible()


def test_seeds_are_put_side_by_side_and_the_way_back_leads_to_the_chart(page, swept):
    methods(page, swept, "&line=eap,mean")
    page.get_by_role("button", name="Seeds side by side").click()
    page.wait_for_url(lambda url: "runs=eap-fake-4l" in url)
    for place in (0, 1):
        expect(page.locator(f".st-key-compare-graph-{place} .main-svg").first).to_be_visible()
    settled(page)
    page.locator(".st-key-compare-view").get_by_role("radio", name="Methods").click()
    expect(page.locator(".st-key-compare-pareto .main-svg").first).to_be_visible()
    page.wait_for_url(lambda url: f"sweep={swept.sweep}" in url and "view=methods" in url)


def test_the_address_restores_what_was_seen(page, swept, browser: Browser):
    methods(page, swept, "&methods=ugs,random&metric=faithfulness&unit=edges&scale=linear&at=303")
    expect(page.locator(".st-key-compare-metric input")).to_have_value("Faithfulness")
    names = page.evaluate(
        "() => document.querySelector('.st-key-compare-pareto .plotly-view')._fullData.map((one) => one.name)"
    )
    assert "UGS, Counterfactual" in names
    assert not any(name.startswith("ACDC") for name in names)
    shared = page.url
    context = browser.new_context()
    other = context.new_page()
    other.goto(shared)
    expect(other.locator(".st-key-compare-pareto .main-svg").first).to_be_visible()
    settled(other)
    assert other.url == shared
    assert other.locator(".st-key-compare-at").get_by_text("20 % (303 edges)").count()
    context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1920, "dark")])
def test_the_legends_stand_beside_the_chart_and_apart(browser: Browser, swept, width, scheme):
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    page = methods(context.new_page(), swept, "&paper=1")
    legends = page.evaluate(LEGENDS)
    assert len(legends) == 2
    (_, _, _, bottom), (_, _, top, _) = sorted(legends, key=lambda box: box[2])
    assert bottom <= top
    plot = page.locator(".st-key-compare-pareto .plotly-view").bounding_box()
    assert plot is not None
    assert max(right for _, right, _, _ in legends) <= plot["x"] + plot["width"] + 1
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    expect(page.get_by_text("another model, whose graph has 32,491 edges")).to_be_visible()
    context.close()


def test_the_stability_of_a_run_is_shown_below_it(page, swept):
    page.goto(f"{swept.url}/?run={swept.run}")
    for key in ("spread", "overlap", "frequency"):
        expect(page.locator(f".st-key-stability-{key} .main-svg").first).to_be_attached()
    expect(page.get_by_text(f"run {swept.stability}")).to_be_attached()
    settled(page)
    page.locator(".st-key-stability-metric").get_by_role("radio", name="Faithfulness").click()
    page.wait_for_url(lambda url: "stability-metric=faithfulness" in url)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_methods_are_compared_from_the_form(page, swept, server: Server):
    page.goto(f"{swept.url}/compare?view=methods&sweep={swept.sweep}")
    choose(page, "sweep-model", str(server.model))
    tasks = page.locator(".st-key-sweep-tasks")
    tasks.locator("input").fill(str(server.task))
    tasks.locator("input").press("Enter")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Remove Indirect objects").click()
    for key, text in (("sweep-seeds", "0"), ("sweep-prompts", "12")):
        page.locator(f".st-key-{key} input").fill(text)
        page.locator(f".st-key-{key} input").press("Tab")
    expect(page.get_by_text("1 task × 1 seed")).to_be_visible()
    page.get_by_role("button", name="Remove Edge Pruning").click()
    expect(page.get_by_text("2 methods × 1 ablation")).to_be_visible()
    settled(page)
    page.get_by_role("button", name=re.compile("Compare methods")).click()
    page.wait_for_url(lambda url: "sweep=sweep-tiny-next" in url, timeout=JOB)
    expect(page.locator(".st-key-compare-pareto .main-svg").first).to_be_visible(timeout=JOB)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0, timeout=JOB)
    expect(page.get_by_role("heading", name=re.compile("over edges: next.jsonl"))).to_be_visible()
