"""Take the README's pictures from the shipped runs: `python -m tests.browser.screenshots`."""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import expect, sync_playwright

from engine.instruments.shipped import ASKED_TWICE
from engine.runs.store import RunStore
from tests.browser.conftest import FLAGS, PATIENCE, ROOT, serve, settled
from tests.conftest import CHROMIUM_NAMES

FOLDER = ROOT / "assets" / "screenshots"
# name -> width, height, colour scheme, path of the address
PICTURES: dict[str, tuple[int, int, Literal["light", "dark"], str]] = {
    "explore": (1440, 900, "light", ""),
    "explore-node": (1440, 1180, "light", "?select={node}&trace=both&detail=Effects"),
    "explore-dark": (1440, 900, "dark", ""),
    "compare": (1440, 1150, "light", "compare?runs={asked_twice}"),
    "compare-dark": (1440, 1150, "dark", "compare"),
    "methods": (1440, 1150, "light", "compare?view=methods"),
    "ablations": (1440, 1150, "light", "ablations"),
    "ablations-dark": (1440, 1150, "dark", "ablations?view=pairs"),
    "trace": (1440, 900, "light", "trace"),
    "trace-dark": (1440, 1150, "dark", "trace?state=mlp"),
    "lens": (1440, 900, "light", "lens"),
    "lens-dark": (1440, 900, "dark", "lens?view=texts"),
    "runs": (1440, 900, "light", "runs"),
    "presentation": (1920, 1080, "light", "?present=1"),
}
BUSIEST_HEAD = """() => {
  const { _fullData } = document.querySelector('.st-key-graph .plotly-view');
  const { customdata, marker } = _fullData.find((one) => one.name === 'nodes');
  const heads = customdata.map((name, i) => [marker.size[i], name]).filter(([, name]) => name[0] === 'a');
  return heads.sort((one, other) => other[0] - one[0])[0][1];
}"""


def main() -> int:
    """Write every picture into assets/screenshots; 1 if there is no Chromium."""
    chromium = next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)
    if chromium is None:
        print("no Chromium found (apt-get install chromium)", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        process, url = serve(Path(scratch) / "runs", Path(scratch) / "log")
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS.split())
        try:
            node, shipped = (
                "",
                [
                    run.run_id
                    for run in RunStore(Path(scratch)).list()
                    if run.request.kind == "discover" and run.request.task in ASKED_TWICE
                ],
            )
            for name, (width, height, scheme, path) in PICTURES.items():
                page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                page.goto(f"{url}/{path.format(node=node, asked_twice=','.join(shipped))}")
                expect(page.locator("h1").first).to_be_visible(timeout=PATIENCE)
                page.wait_for_timeout(1500)  # fonts and tables are painted after they are there
                settled(page)
                node = node or page.evaluate(BUSIEST_HEAD)
                page.screenshot(path=FOLDER / f"{name}.png")
                print(FOLDER / f"{name}.png")
                page.close()
        finally:
            browser.close()
            process.terminate()
            process.wait(timeout=20)
    return 0


if __name__ == "__main__":
    sys.exit(main())
