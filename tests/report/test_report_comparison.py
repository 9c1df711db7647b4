"""The comparison of gradients: a section of a run's page, and a page of its own; whole on any contents."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from fake_run import events, write_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_report_browser import HOSTILE, LONG, Visit, browser  # noqa: F401 - a fixture
from test_report_page import Tags

from bptt.errors import InputError
from bptt.report import SECTIONS, read_run, write_comparison, write_report
from bptt.report.comparison import bias, view

BLOCKS = ("embedding", "input weights", "recurrent weights", "biases", "readout")


def accuracy(bias: float, variance: float = 0.0, resolved: bool = True) -> dict[str, Any]:
    noise = None if variance == 0 else 1 / variance**0.5
    limit = bias if resolved else bias + 0.04
    return {
        "bias": bias,
        "bias_limit": limit,
        "resolved": resolved,
        "variance": variance,
        "signal_to_noise": noise,
        "cosine": 0.9876,
    }


def row(name: str, bias: float, variance: float = 0.0, resolved: bool = True, weight: float | None = 1.0) -> dict[str, Any]:
    blocks = {
        block: accuracy(bias * share, variance, resolved) for block, share in zip(BLOCKS, (2, 1.5, 1, 0.5, 0), strict=True)
    }
    cost = {"seconds_per_token": 1.37e-5, "time_ratio": 1.08, "memory": 7_864_320, "memory_ratio": 0.25}
    return {
        "gradient": name,
        "reason": "",
        **accuracy(bias, variance, resolved),
        **cost,
        "largest_weight": weight,
        "blocks": blocks,
    }


def trial(name: str, speed: float) -> dict[str, Any]:
    points = [[2.5 * n, int(3000 * speed * n), 6 + 60 / (1 + speed * n)] for n in range(9)]
    return {"name": name, "points": points, "reason": ""}


COMPARISON: dict[str, Any] = {
    "setting": {
        **{"corpus": "data/红楼梦.txt", "cell": "gru", "hidden_size": 256, "parameters": 1_842_616, "batch_size": 32},
        **{"steps": 64, "probe_steps": 256, "probes": 4, "draws": 16, "dtype": "float32", "device": "cpu"},
    },
    "exact": {"norm": 0.4, "data_variance": 0.36, "seconds_per_token": 1.2e-5, "memory": 31_457_280},
    "rows": [
        row("full", 0.03),
        row("truncated:k1=16", 0.312) | {"notes": ["it was still learning"]},
        row("randomized:mean=16,tail=4", 0.0, 0.25, resolved=False, weight=595.4),
        {"gradient": "peroutput:k=8", "reason": "It runs steps twice."},
    ],
    "race": {
        "seconds": 20,
        "held_out": 9999,
        "trials": [
            trial("full", 1),
            trial("truncated:k1=16", 3),
            {"name": "late", "points": [[0, 0, 70]], "reason": "diverged"},
        ],
    },
    "words": ["truncated:k1=16 is 31 % off the exact gradient."],
    "notes": ["The text has room for 4 probes"],
}


def page_of(folder: Path, found: Any = COMPARISON) -> str:
    return write_comparison(folder / "compare.html", found).read_text(encoding="utf-8")


@pytest.fixture
def compared(finished: Path) -> Path:
    """A finished run whose gradients were compared."""
    (finished / "compare.json").write_text(json.dumps(COMPARISON, ensure_ascii=False), encoding="utf-8")
    return finished


def test_a_compared_run_shows_its_figures(compared: Path) -> None:
    html = write_report(compared).read_text(encoding="utf-8")
    section = html[html.index('<section id="comparison">') :]
    section = section[: section.index("</section>")]
    for shown in ("31.2 %", "≤ 4 %", "50 %", "0.9876", "13.7 µs", "7.50 MiB", "595", "60 %", "31\u00a0% off"):
        assert shown in section
    assert "Cannot run here: It runs steps twice." in section and "late: diverged" in section
    assert "truncated:k1=16: it was still learning." in section and "a race of 20 seconds" in section.lower()
    assert all(f">{block}</th>" in section for block in BLOCKS)
    assert html.index('href="#samples"') < html.index('href="#comparison"') < html.index('href="#data"')


def test_a_run_that_was_not_compared_says_nothing_of_it(finished: Path) -> None:
    html = write_report(finished).read_text(encoding="utf-8")
    assert "omparison" not in re.sub(r"<style>.*?</style>", "", html, flags=re.S) and "compare.json" not in html
    assert html.count("<section ") == len(SECTIONS) - sum(section(read_run(finished)) is None for section in SECTIONS)


def test_a_damaged_comparison_becomes_a_note(finished: Path) -> None:
    (finished / "compare.json").write_text('{"rows": [')
    assert read_run(finished).notes == ["compare.json could not be read."]
    assert "compare.json could not be read." in write_report(finished).read_text(encoding="utf-8")


def test_a_comparison_without_a_run_is_a_page_of_its_own(tmp_path: Path) -> None:
    html = page_of(tmp_path)
    assert "GRU on 红楼梦.txt" in html and "1.84M parameters" in html and "Training report" not in html
    assert all(address.startswith(("#", "data:")) for address in Tags(html).addresses)
    assert not re.search(r"https?://|@import|url\(", html)


def test_bars_share_one_scale_and_heat_grows_with_the_bias() -> None:
    found = view(COMPARISON)
    full, cut, drawn, refused = found["rows"]
    assert drawn["noise_bar"] == 100 and full["noise_bar"] is None and "bias_bar" not in refused
    assert cut["bias_bar"] == pytest.approx(62.4) and full["bias_bar"] == pytest.approx(6)
    bias, cosine = found["heats"]
    heats = [heat for _, heat in bias["lines"][1][1]]
    assert heats == sorted(heats, reverse=True) and heats[0] > 40 and heats[-1] == 0
    assert bias["names"] == cosine["names"] == list(BLOCKS)


def test_each_block_shows_its_own_cosine() -> None:
    found = copy.deepcopy(COMPARISON)
    found["rows"][1]["blocks"]["recurrent weights"]["cosine"] = 0.75
    found["rows"][1]["blocks"]["readout"]["cosine"] = None
    name, cells = view(found)["heats"][1]["lines"][1]
    assert (name, cells[2], cells[4]) == ("truncated:k1=16", ("0.7500", 30), ("–", 0)) and cells[0][0] == "0.9876"


def test_another_sampling_is_named() -> None:
    found = copy.deepcopy(COMPARISON)
    assert "sampling" not in view(found)["setting"]
    found["setting"]["sampling"] = "random"
    assert "in windows of 64, random sampling, 16 draws" in view(found)["setting"]


def test_a_bias_is_claimed_only_where_it_stands_out() -> None:
    assert bias(accuracy(0.05)) == "5 %" and bias(accuracy(0.05, resolved=False)) == "≤ 9 %"
    assert bias(accuracy(1e-7)) == "0" and bias({}) == "–"


def test_hostile_names_are_inert(tmp_path: Path) -> None:
    text = json.dumps(COMPARISON).replace("truncated:k1=16", "</script><script>alert(1)</script><img src=x>")
    plain, hostile = Tags(page_of(tmp_path)).tags, Tags(page_of(tmp_path, json.loads(text))).tags
    assert hostile == plain


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing"):
        write_comparison(tmp_path / "missing" / "compare.html", COMPARISON)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**320), 10**320) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*COMPARISON["rows"][0], "trials"]), inner),
    max_leaves=6,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(places=st.lists(st.tuples(st.integers(0, 10**6), VALUES), max_size=6))
def test_no_contents_whatever_stop_the_page(tmp_path_factory: Any, places: list[tuple[int, Any]]) -> None:
    found = copy.deepcopy(COMPARISON)
    for number, value in places:
        spots = spots_of(found)
        holder, key = spots[number % len(spots)]
        holder[key] = value
    assert page_of(tmp_path_factory.mktemp("any"), found).rstrip().endswith("</html>")


def spots_of(value: Any) -> list[tuple[Any, Any]]:
    """Every place inside a nest where something else could stand."""
    items = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else [])
    return [*((value, key) for key, _ in items), *(spot for _, item in items for spot in spots_of(item))]


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 1000, 720, 390])
def test_the_section_is_whole_in_a_browser(browser: Any, compared: Path, tmp_path: Path, width: int, scheme: str) -> None:  # noqa: F811
    visit = Visit(browser, write_report(compared), width, 900, scheme)
    tab = visit.tab
    tab.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tab.locator("#comparison tbody tr").count() == 5 + 3 + 3
    assert tab.locator("#comparison svg path").count() == 2 * (2 + 2 + 2)  # three runs, each a line and its dots
    assert visit.width_of_text("Noise of a draw") > 60 or width <= 900
    shot = tmp_path / f"{width}-{scheme}.png"
    tab.locator("#comparison").screenshot(path=shot)
    assert shot.stat().st_size > 20_000 and visit.complaints == []
    assert all(address.startswith(("file:", "data:")) for address in visit.requests)


@pytest.mark.browser
def test_the_readout_names_only_runs_that_got_so_far(browser: Any, compared: Path) -> None:  # noqa: F811
    tab = Visit(browser, write_report(compared), 1280, 900, "light").tab
    plot = tab.locator("#comparison .plot").nth(1)
    plot.focus()
    plot.press("End")
    shown = plot.locator(".readout").inner_text()
    assert "72,000 tokens" in shown and "truncated:k1=16" in shown and "full" not in shown


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_endless_names_do_not_push_the_page_wide(browser: Any, tmp_path: Path, width: int) -> None:  # noqa: F811
    text = (
        json.dumps(COMPARISON)
        .replace('"truncated:k1=16', f'"{LONG}')
        .replace('"biases"', f'"{LONG}b"')
        .replace('"full"', json.dumps(HOSTILE))
    )
    (tmp_path / "run").mkdir()
    visit = Visit(browser, write_comparison(tmp_path / "run" / "compare.html", json.loads(text)), width, 844, "dark")
    assert visit.tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert visit.tab.evaluate("window.broken === undefined") and visit.complaints == []


def test_short_runs_take_a_comparison_too(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", list(events()[:1]))
    (run / "compare.json").write_text(json.dumps({"rows": [], "setting": {}}))
    assert "The comparison names no strategies." in write_report(run).read_text(encoding="utf-8")
