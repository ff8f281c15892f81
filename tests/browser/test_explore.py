"""The Explore page in a real browser."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Server, click_point, double_click, point_at, settled

pytestmark = pytest.mark.browser

# In the page: `plot` is the Plotly element of a view, `at(x, y)` where a point of its data is on the screen.
VIEW = """
  const plot = document.querySelector('.st-key-%s .plotly-view'), box = plot.getBoundingClientRect();
  const { xaxis, yaxis } = plot._fullLayout;
  const at = (x, y) => [box.left + xaxis._offset + xaxis.d2p(x), box.top + yaxis._offset + yaxis.d2p(y)];
  const trace = (name) => plot._fullData.find((one) => one.name === name);
"""
GRAPH, CURVE = VIEW % "graph", VIEW % "curve"
RANGE = f"() => {{ {GRAPH} return plot.layout.xaxis.range; }}"
NODES = f"""() => {{ {GRAPH}
  const {{ customdata, x, y }} = trace('nodes');
  return Object.fromEntries(customdata.map((name, i) => [name, at(x[i], y[i])]));
}}"""
STRONGEST_EDGE = f"""() => {{ {GRAPH}
  const {{ x, y, meta }} = trace('handles'), i = x.length - Math.floor(meta.points / 2);
  return at(x[i], y[i]);
}}"""
LAST_BUT_ONE = f"""() => {{ {CURVE}
  const {{ x, y }} = trace('circuit'), i = x.length - 2;
  return at(x[i], y[i]);
}}"""
QUERIES_SHOWN = f"""() => {{ {GRAPH}
  return plot._fullData.filter((one) => one.legendgroup === 'q' && one.visible === true).length;
}}"""


def opened(page: Page, server: Server, query: str = "") -> Page:
    """Open a run and wait until its page is complete and stands still."""
    page.goto(f"{server.url}/?run={server.run}{query}")
    expect(page.locator(".st-key-graph .main-svg").first).to_be_visible()
    expect(page.locator(".st-key-curve .main-svg").first).to_be_visible()
    expect(page.get_by_text("Export this circuit")).to_be_visible()
    settled(page)
    return page


def click_node(page: Page, name: str) -> None:
    click_point(page, "graph", f"(name) => ({NODES})()[name]", name)


def head(page: Page) -> str:
    """A head that is in the circuit."""
    return next(name for name in page.evaluate(NODES) if name.startswith("a1."))


def test_first_page_shows_a_graph(page, server):
    page.goto(server.url)
    expect(page.locator(".st-key-graph .main-svg").first).to_be_visible()
    expect(page.get_by_text("KL to the model", exact=True).first).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Discover circuit"))).to_be_visible()


def test_the_name_of_the_first_page_leads_to_it(page, server):
    page.goto(f"{server.url}/explore?run={server.other}&edges=30")
    expect(page.locator(".st-key-graph .main-svg").first).to_be_visible()
    expect(page).to_have_url(re.compile(rf"{server.url}/\?run={server.other}.*edges=30"))
    expect(page.get_by_text("Page not found")).to_have_count(0)


def test_nothing_comes_from_outside(page, server):
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    opened(page, server)
    here = (server.url, server.url.replace("http", "ws"), "data:", "blob:")
    outside = [url for url in asked if not url.startswith(here)]
    assert outside == []


def test_click_on_a_node_shows_it_and_esc_clears(page, server):
    opened(page, server)
    name = head(page)
    click_node(page, name)
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    page.locator(".st-key-detail").get_by_text("Attention").click()
    expect(page.get_by_text("Attention pattern")).to_be_visible()
    expect(page.locator(".st-key-attention .main-svg").first).to_be_visible()
    page.wait_for_url(lambda url: f"select={name}" in url)
    settled(page)
    page.keyboard.press("Escape")
    expect(page.get_by_text("Strongest edges")).to_be_visible()
    page.wait_for_url(lambda url: "select" not in url)


def test_click_on_an_edge_shows_it(page, server):
    opened(page, server)
    point_at(page, "graph", STRONGEST_EDGE)
    expect(page.locator(".st-key-graph .hoverlayer")).to_contain_text("rank")
    click_point(page, "graph", STRONGEST_EDGE)
    expect(page.get_by_role("heading", name=re.compile("→"))).to_be_visible()
    expect(page.get_by_text("In this circuit")).to_be_visible()


def test_zoom_outlives_the_slider_and_another_run(page, server):
    opened(page, server)
    home = page.evaluate(RANGE)
    x, y = page.evaluate(NODES)["input"]
    page.mouse.move(x, y - 150)
    page.mouse.wheel(0, -300)
    page.wait_for_function(f"() => JSON.stringify(({RANGE})()) !== {str(home).replace(' ', '')!r}")
    page.wait_for_timeout(300)
    zoomed = page.evaluate(RANGE)
    assert zoomed[1] - zoomed[0] < home[1] - home[0]
    slider = page.locator("input[type=range]")
    slider.focus()
    slider.press("ArrowRight")
    expect(page).to_have_url(re.compile("edges=300"))
    assert page.evaluate(RANGE) == pytest.approx(zoomed)
    page.locator(".st-key-run input").click()
    page.get_by_role("option", name=re.compile("mean · seed 1 · fake-4l")).click()
    expect(page).to_have_url(re.compile(f"run={server.other}"))
    assert page.evaluate(RANGE) == pytest.approx(zoomed)
    double_click(page, x + 120, y, lambda: page.evaluate(RANGE) == home)


def test_zoom_and_selection_outlive_a_visit_to_another_page(page, server):
    opened(page, server, "&edges=300&select=m0&trace=upstream")
    home = page.evaluate(RANGE)
    x, y = page.evaluate(NODES)["input"]
    page.mouse.move(x, y - 150)
    page.mouse.wheel(0, -300)
    page.wait_for_function(f"() => JSON.stringify(({RANGE})()) !== {str(home).replace(' ', '')!r}")
    settled(page)
    zoomed = page.evaluate(RANGE)
    page.get_by_role("link", name="Runs").click()
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    page.get_by_role("link", name="Explore").click()
    expect(page.get_by_role("heading", name="m0")).to_be_visible()
    settled(page)
    assert page.evaluate(RANGE) == pytest.approx(zoomed)
    expect(page.locator("input[type=range]")).to_have_value("3")
    page.wait_for_url(lambda url: "select=m0" in url and "trace=upstream" in url and "edges=300" in url)


def test_url_restores_what_was_seen(page, server, browser: Browser):
    opened(page, server, "&edges=300&select=m0&metric=faithfulness")
    expect(page.get_by_role("heading", name="m0")).to_be_visible()
    expect(page.locator("input[type=range]")).to_have_value("3")
    expect(page.locator(".st-key-metric input")).to_have_value("Faithfulness")
    shared = page.url
    context = browser.new_context()
    other = context.new_page()
    other.goto(shared)
    expect(other.get_by_role("heading", name="m0")).to_be_visible()
    other.wait_for_url(shared)
    context.close()


def test_nonsense_in_the_url_is_no_error(page, server):
    page.goto(f"{server.url}/?run=no-such-run&edges=many&select=%3Cscript%3E&under=magic&prompt=-3&metric=x")
    expect(page.locator(".st-key-graph .main-svg").first).to_be_visible()
    expect(page.get_by_text("There is no run 'no-such-run' here")).to_be_visible()
    expect(page.get_by_text("Traceback")).to_have_count(0)


def test_a_pin_and_its_note_are_there_for_the_next_visitor(page, server, browser: Browser):
    opened(page, server, "&select=m1&detail=Note")
    page.get_by_role("button", name="Pin", exact=True).click()
    expect(page.get_by_role("button", name="Unpin")).to_be_visible()
    note = page.get_by_role("textbox", name="Note on m1")
    note.fill("adds <b>names</b>")
    note.press("Control+Enter")
    settled(page)
    context = browser.new_context()
    other = context.new_page()
    other.goto(f"{server.url}/?run={server.run}")
    expect(other.get_by_text("adds <b>names</b>")).to_be_visible()
    context.close()
    page.get_by_role("button", name="Unpin").click()
    page.get_by_role("button", name="Unpin and delete the note").click()
    expect(page.get_by_role("button", name="Pin", exact=True)).to_be_visible()
    expect(page.get_by_role("textbox", name="Note on m1")).to_have_value("")


def test_click_on_the_curve_moves_the_slider(page, server):
    opened(page, server)
    click_point(page, "curve", LAST_BUT_ONE)
    expect(page).to_have_url(re.compile("edges=700"))


def test_legend_hides_a_kind_for_good(page, server):
    opened(page, server)
    assert page.evaluate(QUERIES_SHOWN) > 0
    page.locator(".st-key-graph .legendtoggle").first.click()
    page.wait_for_function(f"() => ({QUERIES_SHOWN})() === 0")
    slider = page.locator("input[type=range]")
    slider.focus()
    slider.press("ArrowRight")
    expect(page).to_have_url(re.compile("edges=300"))
    assert page.evaluate(QUERIES_SHOWN) == 0


def test_dark_mode(browser: Browser, server):
    context = browser.new_context(color_scheme="dark", viewport={"width": 1280, "height": 800})
    page = context.new_page()
    opened(page, server)
    ground = page.evaluate("() => getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    assert ground == "rgb(20, 23, 28)"
    marks = f"() => {{ {GRAPH} return trace('nodes').marker.color; }}"
    assert page.evaluate(marks) == "#14171C"
    context.close()


def test_large_graph_draws(page, server):
    page.goto(f"{server.url}/?run={server.large}&edges=5000")
    expect(page.locator(".st-key-graph .main-svg").first).to_be_visible()
    expect(page.get_by_text("1,000 of")).to_be_visible()


def test_a_box_selects_several_nodes(page, server):
    opened(page, server)
    nodes = page.evaluate(NODES)
    inside = [name for name in nodes if name.startswith("a0.")]
    assert len(inside) > 1
    xs, ys = zip(*(nodes[name] for name in inside), strict=True)
    page.mouse.move(xs[0], ys[0])
    page.locator(".st-key-graph [data-val=select]").click()
    right, bottom = max(xs) + 15, max(ys) + 15
    page.mouse.move(min(xs) - 15, min(ys) - 15)
    page.mouse.down()
    page.mouse.move(right, bottom, steps=6)
    # Let go once the box drawn has followed the pointer.
    page.wait_for_function(f"""() => [...document.querySelectorAll('.st-key-graph .select-outline')]
      .some((box) => box.getBoundingClientRect().right > {right - 3})""")
    page.mouse.up()
    expect(page.get_by_role("heading", name=f"{len(inside)} nodes")).to_be_visible()
    page.wait_for_url(lambda url: all(name in url for name in inside))


def test_the_exported_page_opens_offline_with_hover(page, server, browser: Browser, tmp_path):
    opened(page, server)
    with page.expect_download() as saved:
        page.get_by_role("button", name="HTML").click()
    path = tmp_path / "circuit.html"
    saved.value.save_as(path)
    offline = browser.new_context(offline=True)
    exported = offline.new_page()
    exported.goto(path.as_uri())
    expect(exported.locator(".main-svg").first).to_be_visible()
    exported.locator(".nodes, .scatterlayer .trace .points path").last.hover(force=True)
    expect(exported.locator(".hoverlayer")).to_contain_text("edges in")
    offline.close()


def test_every_export_downloads(page, server):
    opened(page, server)
    for name, ending in {"JSON": "json", "GraphML": "graphml", "CSV": "csv"}.items():
        with page.expect_download() as saved:
            page.get_by_role("button", name=name, exact=True).click()
        assert saved.value.suggested_filename == f"{server.run}-108-edges.{ending}"
