"""Several visitors, closed tabs and a server that is started anew."""

import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from engine.runs.store import RunStore
from tests.app.fake_run import write_fake_run
from tests.browser.conftest import Server, serve, settled
from tests.browser.test_jobs import JOB, cancel_button, discover

pytestmark = pytest.mark.browser


def move_slider(page: Page) -> None:
    slider = page.locator("input[type=range]")
    slider.focus()
    slider.press("ArrowRight")


def test_two_visitors_do_not_disturb_each_other(page, server, browser: Browser):
    page.goto(f"{server.url}/?run={server.run}&edges=30&select=m0")
    expect(page.get_by_role("heading", name="m0")).to_be_visible()
    settled(page)
    before = page.url
    context = browser.new_context()
    other = context.new_page()
    other.goto(f"{server.url}/?run={server.other}&edges=150&select=a2.h2&trace=upstream")
    expect(other.get_by_role("heading", name="a2.h2")).to_be_visible()
    move_slider(other)
    expect(other).to_have_url(re.compile("edges=300"))
    settled(other)  # a key pressed while the page is still being redrawn can be lost
    other.keyboard.press("Escape")
    other.wait_for_url(lambda url: "select" not in url)
    assert page.url == before
    move_slider(page)
    expect(page).to_have_url(re.compile("edges=76"))
    expect(page.get_by_role("heading", name="m0")).to_be_visible()
    assert f"run={server.run}" in page.url
    assert "edges=300" in other.url
    assert f"run={server.other}" in other.url
    context.close()


def discover_and_close(server: Server, browser: Browser, steps: int, seed: int) -> None:
    """Start a discovery and close the tab as soon as it is queued."""
    context = browser.new_context()
    gone = context.new_page()
    gone.goto(f"{server.url}/?run={server.run}")
    field = gone.locator(".st-key-new-seed input")
    field.fill(str(seed))
    field.press("Tab")
    discover(gone, server, steps)
    expect(cancel_button(gone)).to_be_visible(timeout=JOB)
    context.close()


def test_a_closed_tab_does_not_stop_a_job(page, server, browser: Browser):
    discover_and_close(server, browser, steps=30, seed=7)
    store = RunStore(server.runs)
    waited = 0.0
    while not any(run.request.seed == 7 for run in store.list()):
        time.sleep(0.5)
        waited += 0.5
        assert waited < JOB / 1000, "the job wrote no run"
    page.goto(f"{server.url}/?run={server.run}")
    settled(page)
    page.locator(".st-key-run input").click()
    expect(page.get_by_role("option", name=re.compile("next.jsonl")).first).to_be_visible()


def test_others_see_the_job_of_a_closed_tab_and_can_cancel_it(page, server, browser: Browser):
    discover_and_close(server, browser, steps=100_000, seed=8)
    page.goto(f"{server.url}/?run={server.run}")
    expect(page.get_by_text("next.jsonl").first).to_be_visible(timeout=JOB)
    expect(page.locator("[data-testid=stProgress]")).to_contain_text("KL", timeout=JOB)
    settled(page)
    cancel_button(page).click()
    expect(cancel_button(page)).to_have_count(0, timeout=JOB)


def test_a_server_that_is_started_anew_goes_on_with_its_jobs(page, server: Server, tmp_path: Path):
    run = write_fake_run(RunStore(tmp_path / "runs"), model="fake-4l")
    process, url = serve(tmp_path / "runs", tmp_path / "log")
    page.goto(f"{url}/?run={run}")
    discover(page, server, 100_000)
    expect(page.locator("[data-testid=stProgress]")).to_contain_text("KL", timeout=JOB)
    process.kill()
    process.wait(timeout=20)
    process, url = serve(tmp_path / "runs", tmp_path / "log-2")
    page.goto(f"{url}/?run={run}")
    expect(page.locator("[data-testid=stProgress]")).to_contain_text("KL", timeout=JOB)
    settled(page)
    cancel_button(page).click()
    expect(cancel_button(page)).to_have_count(0, timeout=JOB)
    process.terminate()
    process.wait(timeout=30)
