"""The pages and pictures of counted texts: whole, safe with any text, content with what is missing."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from test_report_browser import Visit, browser  # noqa: F401 - a fixture

from bptt import InputError, Vocabulary
from bptt.cli.output import clean
from bptt.counting import statistics
from bptt.report import write_baselines, write_statistics
from bptt.report.chart import Chart, Line
from bptt.report.plots import draw_baselines, draw_statistics
from bptt.report.statistics import fitted

HOSTILE = "<script>window.broken=1</script>"
WORDS = " ".join(f"word{n}" for n in np.random.default_rng(0).zipf(1.5, 3000) % 500) + f" {HOSTILE} 红楼梦" * 40


@pytest.fixture(scope="module")
def counted():
    vocab = Vocabulary.from_text(WORDS, "word", reserved=())
    return statistics(vocab.encode(WORDS), vocab, top=30)


def baselines(**changed):
    row = {"kind": "counting", "order": 2, "smoothing": HOSTILE, "bits_per_character": 2.0, "tokens": 99}
    models = [
        {**row, "model": HOSTILE, "perplexity": 8.0, "bits_per_token": 3.0, "train_perplexity": 4.0},
        {
            **row,
            "model": "b",
            "perplexity": float("inf"),
            "bits_per_token": float("inf"),
            "train_perplexity": 2.0,
            "impossible": 7,
        },
        {"kind": "run", "model": "gru", "perplexity": 4.0, "bits_per_token": 2.0, "bits_per_character": 1.5, "tokens": 99},
    ]
    top = [["a", 0.5], [HOSTILE, 0.25]]
    return {
        "text": HOSTILE,
        "unit": "word",
        "vocabulary": 50,
        "tokens": {"train": 1000, "valid": 100},
        "unknown": 0.125,
        "reverse": True,
        "orders": [{"order": 1, "distinct": 49, "new": 0.0}, {"order": 2, "distinct": 400, "new": 0.5}],
        "models": models,
        "sentence": {"text": "a b", "tokens": ["a", HOSTILE], "models": {"b": {"nats": 2000.0, "probabilities": [0.5, 0.0]}}},
        "ahead": {"context": "x", "models": {"b": [{"steps": 1, "entropy": 1.5, "top": top}]}},
        "samples": {"prefix": "end", "texts": {"b": HOSTILE}},
        **changed,
    }


def test_the_page_of_a_text_has_its_figures(counted, tmp_path):
    page = write_statistics(tmp_path / "s.html", clean({**counted.to_json(), "corpus": "/x/book.txt"}))
    html = page.read_text(encoding="utf-8")
    assert '<h1 dir="auto">book.txt</h1>' in html and HOSTILE not in html and "红楼梦" in html
    for row in counted.orders:
        assert f"{row.zipf.exponent:.3f}" in html and f"{row.distinct:,.0f}" in html
    assert html.count('class="s') > 6 and "expected by Kneser-Ney" in html and "://" not in html


@pytest.mark.parametrize(
    "strange", [{}, {"orders": 3, "tails": [7], "words": None}, {"orders": [{"order": "x", "top": [[1]]}]}]
)
def test_a_page_shows_what_is_there(strange, tmp_path):
    assert "Text statistics" in write_statistics(tmp_path / "s.html", strange).read_text(encoding="utf-8")
    assert "Predicted by counting" in write_baselines(tmp_path / "b.html", strange).read_text(encoding="utf-8")
    for part in ("sentence", "ahead", "samples", "models", "orders"):
        write_baselines(tmp_path / "b.html", {**clean(baselines()), part: {"models": 3, "tokens": 4, "texts": 5}})


def test_the_page_of_baselines_has_its_figures(tmp_path):
    html = write_baselines(tmp_path / "b.html", clean(baselines())).read_text(encoding="utf-8")
    assert HOSTILE not in html and "8.00" in html and "∞" in html and "12.5 %" in html
    assert "probability 0 to 7 of 99" in html and "2.58e-869" in html
    assert html.index(
        "&lt;script&gt;window.broken=1&lt;/script&gt;<mark>end</mark>"
    )  # read from the end: the prefix comes last


def test_a_page_that_cannot_be_written_is_said(counted, tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        write_statistics(tmp_path / "missing" / "s.html", counted.to_json())


def test_a_logarithmic_axis_runs_from_the_least_to_the_largest_x():
    view = Chart("c", "", [Line("a", [(0, 1), (2, 8), (20, 4), (200, 2)], "s0")], log=True, log_x=True, over="rank").view()
    assert view["data"]["log"] and view["data"]["lo"] == 2 and view["data"]["hi"] == 200
    places = re.findall(r"[ML]([\d.]+) ", view["paths"][0]["line"])
    assert [float(place) for place in places] == [0, 500, 1000]
    assert Chart("c", "", [Line("a", [(0, 1), (2, 8)])]).view()["data"]["log"] is False
    assert Chart("c", "", [Line("a", [(3, 1)], "s0")], log_x=True).view()["data"]["hi"] == 6


def test_the_fitted_line_is_the_law_between_its_ranks(counted):
    law = counted.orders[0].zipf
    line = fitted(json.loads(json.dumps(clean(counted.to_json())))["orders"][0])
    assert [line[0][0], line[-1][0]] == pytest.approx([law.first, law.last])
    assert [y for _, y in line] == pytest.approx(law.at([x for x, _ in line]).tolist(), rel=1e-9)


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_pictures(counted, tmp_path, ending):
    draw_statistics(counted, tmp_path / f"z.{ending}")
    draw_baselines(baselines(), tmp_path / f"b.{ending}")
    for name in ("z", "b"):
        content = (tmp_path / f"{name}.{ending}").read_bytes()
        assert len(content) > 5_000
        if ending == "svg":
            ElementTree.fromstring(content)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_pages_in_a_browser(browser, counted, tmp_path, width):  # noqa: F811
    pages = [
        write_statistics(tmp_path / "s.html", clean({**counted.to_json(), "corpus": HOSTILE})),
        write_baselines(tmp_path / "b.html", clean(baselines())),
    ]
    for page in pages:
        visit = Visit(browser, page, width, 900, "light")
        visit.tab.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        assert visit.tab.evaluate("document.documentElement.scrollWidth <= innerWidth && window.broken === undefined")
        assert visit.complaints == [] and all(address.startswith(("file:", "data:")) for address in visit.requests)


@pytest.mark.browser
def test_the_readout_of_a_logarithmic_axis(browser, counted, tmp_path):  # noqa: F811
    tab = Visit(browser, write_statistics(tmp_path / "s.html", clean(counted.to_json())), 1280, 900, "light").tab
    plot = tab.locator(".plot").first
    plot.focus()
    plot.press("Home")
    assert plot.locator(".readout").inner_text().startswith("1 rank i") or "rank i" in plot.locator(".readout").inner_text()
    assert str(counted.orders[0].curve[0][1]) in plot.locator(".readout").inner_text().replace(",", "")
    left = tab.evaluate("parseFloat(document.querySelector('.cursor').style.left)")
    plot.press("End")
    assert left == 0 and tab.evaluate("parseFloat(document.querySelector('.cursor').style.left)") == pytest.approx(100)
