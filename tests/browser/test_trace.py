"""The page "Causal tracing" in a real browser: clicks, keys, the URL, a job, small screens."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from engine.runs.store import RunStore
from tests.app.fake_trace import write_trace
from tests.browser.conftest import Server, choose, click_point, serve, settled

pytestmark = pytest.mark.browser
JOB = 240_000  # ms, an upper bound: a job starts worker processes that load torch
PLACE = """([layer, column]) => {
  const plot = document.querySelector('.st-key-trace-map-gaussian .plotly-view');
  const { left, top } = plot.getBoundingClientRect(), { xaxis, yaxis } = plot._fullLayout;
  return [left + xaxis._offset + xaxis.d2p(column), top + yaxis._offset + yaxis.d2p(layer)];
}"""
FITS = "() => document.documentElement.scrollWidth <= innerWidth"


@pytest.fixture(scope="module")
def served(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard of its own, with made-up traces of `fake-4l`; its address."""
    folder = tmp_path_factory.mktemp("traced")
    store = RunStore(folder / "runs")
    for corruption in ("gaussian", "optimal"):
        for state in ("residual", "mlp", "head"):
            write_trace(store, corruption, state)
            write_trace(store, corruption, state, own=False)
    process, url = serve(folder / "runs", folder / "log")
    yield url
    process.terminate()
    process.wait(timeout=20)


def opened(page: Page, url: str, label: str = "“The capital of South Korea is” · fake-4l") -> Page:
    """Open the page on what was made up and wait until it is complete and stands still."""
    page.goto(f"{url}/trace")
    expect(page.locator("h1").first).to_be_visible()
    settled(page)
    choose(page, "trace-subject", label)
    expect(page.locator(".st-key-trace-map-difference .main-svg").first).to_be_visible()
    settled(page)
    return page


def click(page: Page, layer: int, column: int) -> None:
    click_point(page, "trace-map-gaussian", PLACE, [layer, column])


def test_a_cell_clicked_is_told_of_and_esc_clears(page, served):
    opened(page, served)
    click(page, 2, 5)
    expect(page.get_by_text("layer 2, Korea*")).to_be_visible()
    page.wait_for_url(lambda url: "cell=2" in url)
    settled(page)
    page.keyboard.press("Escape")
    expect(page.get_by_text("layer 2, Korea*")).to_have_count(0)
    page.wait_for_url(lambda url: "cell" not in url)


def test_the_url_restores_what_was_seen(page, served, browser: Browser):
    opened(page, served)
    page.locator(".st-key-trace-state").get_by_text("MLP").click()
    page.wait_for_url(lambda url: "state=mlp" in url)
    settled(page)
    click(page, 1, 6)
    page.wait_for_url(lambda url: "cell=1" in url)
    shared = page.url
    context = browser.new_context()
    other = context.new_page()
    other.goto(shared)
    expect(other.get_by_text("layer 1, is")).to_be_visible()
    other.wait_for_url(shared)
    context.close()


def test_one_chooser_says_at_which_class_heads_are_mapped_and_drawn(page, served):
    opened(page, served, "Facts, all prompts · fake-4l")
    page.locator(".st-key-trace-state").get_by_text("Single heads").click()
    page.wait_for_url(lambda url: "state=head" in url)
    heads = page.locator(".st-key-trace-heads")
    expect(heads.locator(".main-svg").first).to_be_visible()
    settled(page)
    expect(page.get_by_text("average effect at the last token")).to_be_visible()
    before = heads.locator(".ytick").all_text_contents()
    page.locator(".st-key-trace-class").get_by_text("first subject").click()
    page.wait_for_url(lambda url: "class=first+subject" in url)
    settled(page)
    expect(page.get_by_text("average effect at the first subject token")).to_be_visible()
    after = heads.locator(".ytick").all_text_contents()
    assert before != after
    assert sorted(before) == sorted(after)  # there are no more heads than are drawn
    assert page.evaluate(FITS)


@pytest.mark.parametrize(
    "label", ["“The capital of South Korea is” · fake-4l", "Facts, all prompts · fake-4l"]
)
def test_nothing_is_wider_than_a_small_dark_screen(browser: Browser, served, label):
    context = browser.new_context(color_scheme="dark", viewport={"width": 1280, "height": 800})
    page = opened(context.new_page(), served, label)
    boxes = [page.locator(f".st-key-trace-map-{name}").bounding_box() for name in ("optimal", "gaussian")]
    left, right = (box for box in boxes if box is not None)
    assert left["x"] + left["width"] <= right["x"]
    assert page.evaluate(FITS)
    context.close()


def test_a_prompt_of_another_model_is_traced_from_the_form(page, served, server: Server):
    opened(page, served)
    choose(page, "trace-new-model", str(server.model))
    for name, text in (("prompt", "w1 w2 w3 w4"), ("subject", "w2 w3")):
        field = page.locator(f".st-key-trace-new-{name}").locator("textarea, input")
        field.fill(text)
        field.blur()
        settled(page)
    expect(page.get_by_label("Tokens of the prompt")).to_contain_text("w2")
    page.locator(".st-key-trace-new-corruptions").get_by_label("Remove Optimal ablation").click()
    settled(page)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="w1 w2 w3 w4")).to_be_visible(timeout=JOB)
    expect(page.locator(".st-key-trace-map-gaussian .main-svg").first).to_be_visible(timeout=JOB)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0, timeout=JOB)
    expect(page.get_by_text("failed")).to_have_count(0)
