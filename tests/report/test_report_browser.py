"""The page in a real browser: on a desk and on a phone, by day and by night, without errors, requests or overflow."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_run import CORPUS, events, write_run

from bptt.report import write_report

pytestmark = pytest.mark.browser

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
HOSTILE = "<script>window.broken = 1</script><img src='http://example.invalid/x.png' onerror='window.broken = 2'>"
LONG = "long" * 60


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no chromium on the PATH")
    with playwright.sync_playwright() as driver:
        window = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        yield window
        window.close()


class Visit:
    """One page that is open, with what it complained about and asked for."""

    def __init__(self, browser: Any, page: Path, width: int, height: int, scheme: str) -> None:
        self.tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.tab.on("console", lambda message: self.complaints.append(message.text))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.goto(page.as_uri())

    def width_of_text(self, text: str) -> float:
        """How wide `text` is on the page, from the first text node that holds it; 0 if there is none."""
        script = """text => {
            const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
            while (walker.nextNode()) {
                const at = walker.currentNode.data.indexOf(text);
                if (at < 0 || !walker.currentNode.parentElement.checkVisibility()) continue;
                const range = document.createRange();
                range.setStart(walker.currentNode, at); range.setEnd(walker.currentNode, at + text.length);
                return range.getBoundingClientRect().width;
            }
            return 0;
        }"""
        return self.tab.evaluate(script, text)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width, height", [(1280, 900), (390, 844)])
def test_the_page_is_whole(browser: Any, finished: Path, tmp_path: Path, width: int, height: int, scheme: str) -> None:
    visit = Visit(browser, write_report(finished), width, height, scheme)
    tab = visit.tab
    tab.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    boxes = tab.evaluate(
        "[...document.querySelectorAll('svg path')].map(path => path.getBBox()).map(box => [box.width, box.height])"
    )
    assert len(boxes) == 8 and all(wide > 0 and high > 0 for wide, high in boxes)
    assert visit.width_of_text("黛玉见他如此") > 60
    paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper[4:-1].split(","))) > 382) == (scheme == "light")
    shot = tmp_path / f"{width}-{scheme}.png"
    tab.screenshot(path=shot, full_page=True)
    assert shot.stat().st_size > 20_000
    assert visit.complaints == []
    assert all(address.startswith(("file:", "data:")) for address in visit.requests)


def test_the_slider_goes_back_to_the_first_sample(browser: Any, finished: Path) -> None:
    tab = Visit(browser, write_report(finished), 1280, 900, "light").tab
    shown = tab.locator("article:visible h3")
    assert shown.count() == 1 and "3,000" in shown.inner_text()
    tab.get_by_label("Earlier sample").click()
    assert "2,800" in shown.inner_text()
    tab.get_by_label("Step of the sample").fill("0")
    assert "Step 200" in shown.inner_text() and tab.get_by_label("Earlier sample").is_disabled()


def test_the_readout_names_step_and_values(browser: Any, finished: Path) -> None:
    tab = Visit(browser, write_report(finished), 1280, 900, "light").tab
    plot = tab.locator(".plot").first
    assert tab.locator(".readout:visible").count() == 0
    plot.hover(position={"x": 300, "y": 100})
    assert "training" in plot.locator(".readout").inner_text() and "validation" in plot.locator(".readout").inner_text()
    plot.focus()
    plot.press("End")
    assert "step 3,000" in plot.locator(".readout").inner_text()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_short_runs_open_without_complaint(browser: Any, tmp_path: Path, count: int) -> None:
    visit = Visit(browser, write_report(write_run(tmp_path / "run", list(events()[:count]), env=None)), 390, 844, "dark")
    assert visit.complaints == [] and visit.tab.locator("section").count() == 6


@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_and_endless_words_neither_run_nor_push_the_page_wide(browser: Any, tmp_path: Path, width: int) -> None:
    sample = {"event": "sample", "step": 1, "prefix": HOSTILE, "text": HOSTILE + LONG}
    corpus = CORPUS | {"source": LONG, "head": [[HOSTILE, 2], [LONG, 1]]}
    text = json.dumps(corpus | {LONG: {LONG: LONG}, "cell": LONG, "gradient": HOSTILE})
    page = write_report(write_run(tmp_path / LONG, [sample], corpus=text, config=text, env=text))
    visit = Visit(browser, page, width, 844, "light")
    visit.tab.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert visit.tab.evaluate("window.broken === undefined && document.images.length === 0")
    assert visit.tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert visit.complaints == [] and all(address.startswith(("file:", "data:")) for address in visit.requests)
