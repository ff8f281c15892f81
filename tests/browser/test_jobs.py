"""Starting, watching and cancelling jobs from the Explore page."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Server, choose, settled

pytestmark = pytest.mark.browser
JOB = 240_000  # ms, an upper bound: a job starts worker processes that load torch


def discover(page: Page, server: Server, steps: int) -> None:
    """Fill in the form and send it."""
    choose(page, "new-model", str(server.model))
    choose(page, "new-task", str(server.task))
    field = page.locator(".st-key-set-edge-pruning-steps input")
    field.fill(str(steps))
    field.press("Tab")
    settled(page)  # a click while the page is being redrawn can be lost
    page.get_by_role("button", name=re.compile("Discover circuit")).click()


def cancel_button(page: Page) -> Locator:
    return page.get_by_role("button", name="Cancel")


def test_a_job_shows_its_progress_and_can_be_cancelled_while_the_page_is_used(page, server):
    page.goto(f"{server.url}/?run={server.run}")
    discover(page, server, 100_000)
    expect(cancel_button(page)).to_be_visible(timeout=JOB)
    expect(page.locator("[data-testid=stProgress]")).to_contain_text(re.compile("KL|loading"), timeout=JOB)
    slider = page.locator("input[type=range]")
    slider.focus()
    slider.press("ArrowRight")
    expect(page).to_have_url(re.compile("edges=300"))
    settled(page)
    cancel_button(page).click()
    expect(cancel_button(page)).to_have_count(0, timeout=JOB)
    expect(page.get_by_text("failed")).to_have_count(0)
    page.wait_for_url(lambda url: f"run={server.run}" in url)


def test_a_finished_discovery_opens_and_is_evaluated_under_another_ablation(page, server):
    page.goto(f"{server.url}/?run={server.run}")
    discover(page, server, 20)
    expect(page).to_have_url(re.compile("run=edge-pruning-tiny-next-counterfactual"), timeout=JOB)
    expect(page.get_by_role("heading", name="next.jsonl · counterfactual · tiny")).to_be_visible()
    expect(page.locator(".st-key-graph .main-svg").first).to_be_visible()
    expect(cancel_button(page)).to_have_count(0)
    choose(page, "under", "Zero")
    expect(page.get_by_text("evaluated under zero.")).to_be_visible(timeout=JOB)
    expect(page).to_have_url(re.compile("under=zero"))


def test_a_request_that_cannot_be_carried_out_says_why(page, server):
    page.goto(f"{server.url}/?run={server.run}")
    choose(page, "new-model", str(server.task.parent))
    settled(page)
    page.get_by_role("button", name=re.compile("Discover circuit")).click()
    expect(page.get_by_text("is no model")).to_be_visible()
    expect(page.get_by_text("Traceback")).to_have_count(0)
