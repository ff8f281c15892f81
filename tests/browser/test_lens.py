"""The page "Lens" in a real browser: views, the URL, small screens, a text of a model whose lenses are not
trained yet."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from engine.runs.store import RunStore
from tests.app.fake_lens import write_reading, write_training
from tests.browser.conftest import Server, choose, serve, settled

pytestmark = pytest.mark.browser
JOB = 240_000  # ms, an upper bound: a job starts worker processes that load torch, and trains lenses
VIEWS = {
    "One lens": "lens-table",
    "Two lenses": "lens-difference",
    "Race of words": "lens-race",
    "Over many texts": "lens-kl",
    "Faithfulness": "lens-direction",
}
FITS = "() => document.documentElement.scrollWidth <= innerWidth"
LABEL = "“The capital of South Korea is” · fake-4l"


@pytest.fixture(scope="module")
def served(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard of its own, with a made-up reading of `fake-4l`; its address."""
    folder = tmp_path_factory.mktemp("read")
    store = RunStore(folder / "runs")
    write_reading(store, words=(" Seoul", " Tokyo"), trained=write_training(store))
    process, url = serve(folder / "runs", folder / "log")
    yield url
    process.terminate()
    process.wait(timeout=20)


def opened(page: Page, url: str) -> Page:
    """Open the page on what was made up and wait until it is complete and stands still."""
    page.goto(f"{url}/lens")
    expect(page.locator("h1").first).to_be_visible()
    settled(page)
    choose(page, "lens-subject", LABEL)
    expect(page.get_by_role("heading", name="The capital of South Korea is")).to_be_visible()
    settled(page)
    return page


def view(page: Page, label: str) -> None:
    page.locator(".st-key-lens-view").get_by_text(label).click()
    expect(page.locator(f".st-key-{VIEWS[label]} .main-svg").first).to_be_visible()
    settled(page)


def test_no_view_is_wider_than_a_small_dark_screen(browser: Browser, served):
    context = browser.new_context(color_scheme="dark", viewport={"width": 1280, "height": 800})
    page = opened(context.new_page(), served)
    for label in VIEWS:
        view(page, label)
        assert page.evaluate(FITS), label
    context.close()


def test_the_url_restores_what_was_seen(page, served, browser: Browser):
    opened(page, served)
    page.locator(".st-key-lens-lens").get_by_text("Tuned").click()
    page.wait_for_url(lambda url: "lens=tuned" in url)
    view(page, "Race of words")
    page.wait_for_url(lambda url: "view=race" in url and "lens=tuned" in url)
    settled(page)
    shared = page.url
    context = browser.new_context()
    other = context.new_page()
    other.goto(shared)
    expect(other.locator(".st-key-lens-race .main-svg").first).to_be_visible()
    other.wait_for_url(shared)
    context.close()


def test_what_is_measured_over_texts_is_chosen_and_is_in_the_address(page, served):
    opened(page, served)
    view(page, "Over many texts")
    page.locator(".st-key-lens-measure").get_by_text("Cross-entropy").click()
    drawn = page.locator(".st-key-lens-cross_entropy")
    expect(drawn.get_by_text("The model itself")).to_be_visible()
    page.wait_for_url(lambda url: "measure=cross_entropy" in url)
    assert "Cross-entropy" in (drawn.get_by_role("figure").get_attribute("aria-label") or "")


def said_of(page: Page, x: float, y: float, text: str) -> bool:
    """Return whether a cell of the table says a text under the pointer, which is moved until it is heard: a
    figure that is redrawn meanwhile forgets it."""
    hover = page.locator(".st-key-lens-table .hoverlayer .hovertext")
    for _ in range(40):
        page.mouse.move(x - 3, y)
        page.mouse.move(x, y)
        page.wait_for_timeout(500)
        if any(text in said for said in hover.all_text_contents()):
            return True
    return False


def test_a_cell_says_the_ten_most_probable_words_whether_it_has_a_value_or_not(page, served):
    page.goto(f"{served}/lens?statistic=cross_entropy")
    expect(page.locator(".st-key-lens-table .main-svg").first).to_be_visible()
    settled(page)
    choose(page, "lens-subject", LABEL)
    settled(page)
    box = page.locator(".st-key-lens-table .main-svg").first.bounding_box()
    assert box is not None
    for share in (0.5, 0.86):  # the last token has none after it
        place = (box["x"] + share * box["width"], box["y"] + 0.5 * box["height"])
        assert said_of(page, *place, "No token comes after it" if share > 0.5 else "Cross-entropy")


def test_words_are_shown_as_tokens_and_a_wrong_one_keeps_the_form(page, served):
    opened(page, served)
    choose(page, "lens-new-model", "explorer-4l")
    field = page.locator(".st-key-lens-new-words input")
    field.fill("Seoul, Constantinople")
    field.blur()
    chips = page.get_by_role("group", name="Tokens that are followed")
    expect(chips).to_contain_text("Seoul")
    expect(page.get_by_text("only single tokens can be followed")).to_be_visible()
    expect(page.locator(".st-key-lens-start button")).to_be_disabled()
    field.fill("Seoul, .")
    field.blur()
    expect(page.locator(".st-key-lens-start button")).to_be_enabled()
    expect(chips).to_contain_text(".")


def test_a_text_is_read_by_the_lenses_of_a_model_that_had_none(page, served, server: Server):
    opened(page, served)
    choose(page, "lens-new-model", str(server.model))
    expect(page.get_by_text("are trained first")).to_be_visible()
    field = page.locator(".st-key-lens-new-text textarea")
    field.fill("w1 w2 w3 w4")
    field.blur()
    settled(page)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="w1 w2 w3 w4")).to_be_visible(timeout=JOB)
    expect(page.locator(".st-key-lens-table .main-svg").first).to_be_visible(timeout=JOB)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0, timeout=JOB)
    expect(page.get_by_text("failed")).to_have_count(0)
