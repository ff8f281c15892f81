"""The page "Ablations" in a real browser: clicks, keys, the URL, a job, small screens."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, expect

from engine.runs.store import RunStore
from tests.app.fake_importance import write_importance, write_subject
from tests.browser.conftest import Server, click_point, serve, settled

pytestmark = pytest.mark.browser
JOB = 240_000  # ms, an upper bound: a job starts worker processes that load torch

CELL = """(node) => {
  const plot = document.querySelector('.st-key-ablations-grid .plotly-view');
  const { left, top } = plot.getBoundingClientRect(), { xaxis, yaxis } = plot._fullLayout;
  for (const { customdata, x0, y0 } of plot._fullData)
    for (const [row, ids] of customdata.entries())
      for (const [column, id] of ids.entries())
        if (id === node)
          return [left + xaxis._offset + xaxis.d2p(x0 + column), top + yaxis._offset + yaxis.d2p(y0 + row)];
}"""
RINGS = "() => document.querySelector('.st-key-ablations-grid .plotly-view')._fullLayout.shapes.length"
VIEWS = {
    "Side by side": "bars",
    "On every prompt": "prompts",
    "Two ablations": "scatter",
    "Against optimal": "ratios",
    "Training": "training",
}
FITS = "() => document.documentElement.scrollWidth <= innerWidth"


@dataclass(frozen=True)
class Served:
    """A dashboard of its own, with made-up importance of `fake-4l` on two tasks."""

    url: str
    other: str  # what its second subject is called


@pytest.fixture(scope="module")
def served(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("ablated")
    store = RunStore(folder / "runs")
    write_subject(store)
    write_importance(store, "optimal", settings={"conditioning": "shared"})
    write_subject(store, "mean", "zero", task="facts")
    process, url = serve(folder / "runs", folder / "log")
    yield Served(url, "fake-4l · Facts")
    process.terminate()
    process.wait(timeout=20)


def subject(page: Page, label: str) -> None:
    """Choose a subject."""
    field = page.locator(".st-key-ablations-subject input")
    field.click()
    field.fill(label)
    page.get_by_role("option", name=label).first.click()
    expect(field).to_have_value(label)


def choose_view(page: Page, view: str) -> None:
    page.get_by_role("radio", name=view).or_(page.get_by_role("button", name=view)).first.click()


def opened(page: Page, url: str, view: str = "Side by side") -> Page:
    """Open the page on the made-up subject and wait until it is complete and stands still."""
    page.goto(f"{url}/ablations")
    expect(page.locator(".st-key-ablations-bars .main-svg").first).to_be_visible()
    subject(page, "fake-4l · Indirect objects")
    expect(page.get_by_role("heading", name="Ablations: fake-4l · Indirect objects")).to_be_visible()
    choose_view(page, view)
    settled(page)
    return page


def click(page: Page, node: str, shift: bool = False) -> None:
    click_point(page, "ablations-grid", CELL, node, shift)


def test_a_cell_clicked_is_shown_beside_and_shift_adds_another_and_esc_clears(page, served):
    opened(page, served.url)
    click(page, "a1.h2")
    expect(page.get_by_role("heading", name="a1.h2", exact=True)).to_be_visible()
    page.wait_for_url(lambda url: "select=a1.h2" in url)
    settled(page)
    assert page.evaluate(RINGS) == 1
    click(page, "m3", shift=True)
    expect(page.get_by_role("heading", name="m3", exact=True)).to_be_visible()
    expect(page.get_by_text("The components selected.")).to_be_visible()
    settled(page)
    assert page.evaluate(RINGS) == 2
    page.keyboard.press("Escape")
    expect(page.get_by_text("which costs most here")).to_be_visible()
    page.wait_for_url(lambda url: "select" not in url)


def test_the_url_restores_what_was_seen(page, served, browser: Browser):
    opened(page, served.url, "Two ablations")
    click(page, "m2")
    expect(page.get_by_role("heading", name="m2", exact=True)).to_be_visible()
    page.wait_for_url(lambda url: "select=m2" in url and "view=pairs" in url)
    shared = page.url
    context = browser.new_context()
    other = context.new_page()
    other.goto(shared)
    expect(other.get_by_role("heading", name="m2", exact=True)).to_be_visible()
    expect(other.get_by_role("heading", name="Ablations: fake-4l · Indirect objects")).to_be_visible()
    expect(other.locator(".st-key-ablations-scatter .main-svg").first).to_be_visible()
    other.wait_for_url(shared)
    context.close()


def test_a_click_on_the_matrix_shows_these_two_against_each_other(page, served):
    opened(page, served.url, "Two ablations")
    place = """() => {
      const plot = document.querySelector('.st-key-ablations-agreement .plotly-view');
      const { left, top } = plot.getBoundingClientRect(), { xaxis, yaxis } = plot._fullLayout;
      return [left + xaxis._offset + xaxis.d2p(0), top + yaxis._offset + yaxis.d2p(4)];
    }"""
    click_point(page, "ablations-agreement", place)
    expect(page.locator(".st-key-ablations-x input")).to_have_value("counterfactual")
    expect(page.locator(".st-key-ablations-y input")).to_have_value("zero")


def test_both_conditionings_are_warned_of_and_where_there_is_one_nothing_is(page, served):
    opened(page, served.url)
    expect(page.get_by_text("Two conditionings in one chart: constants shared")).to_be_visible()
    subject(page, served.other)
    expect(page.get_by_role("heading", name=f"Ablations: {served.other}")).to_be_visible()
    expect(page.get_by_text("Two conditionings in one chart")).to_have_count(0)


def test_no_view_is_wider_than_a_small_dark_screen(browser: Browser, served):
    context = browser.new_context(color_scheme="dark", viewport={"width": 1280, "height": 800})
    page = opened(context.new_page(), served.url)
    grid, side = (page.locator(f".st-key-ablations-{name}").bounding_box() for name in ("grid", "component"))
    assert grid is not None
    assert side is not None
    assert grid["x"] + grid["width"] <= side["x"]
    for view, picture in VIEWS.items():
        choose_view(page, view)
        expect(page.locator(f".st-key-ablations-{picture} .main-svg").first).to_be_visible()
        settled(page)
        assert page.evaluate(FITS), view
    context.close()


def test_components_of_another_model_are_measured_from_the_form_by_the_keyboard(page, served, server: Server):
    opened(page, served.url)
    for key, text in (("model", str(server.model)), ("task", str(server.task)), ("ablation", "Zero")):
        field = page.locator(f".st-key-ablations-new-{key} input")
        field.click()
        field.fill(text)
        page.get_by_role("option").filter(has_text=text).first.click()
        expect(field).to_have_value(text)
    settled(page)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="Ablations: tiny · next.jsonl")).to_be_visible(timeout=JOB)
    expect(page.locator(".st-key-ablations-grid .main-svg").first).to_be_visible(timeout=JOB)
    expect(page.get_by_text(re.compile("importance-tiny-next-zero")).first).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0, timeout=JOB)
    expect(page.get_by_text("failed")).to_have_count(0)
    page.wait_for_url(lambda url: "subject=tiny-next" in url)
