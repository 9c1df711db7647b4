"""The page: whole on any run, inert on hostile text, small on long runs."""

from __future__ import annotations

import json
import os
import random
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fake_run import CORPUS, events, step, write_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bptt.errors import InputError
from bptt.report import SECTIONS, Section, read_run, write_report

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'{{ 7*7 }}<!--"


class Tags(HTMLParser):
    """Counts the tags of a page and collects the addresses that it would load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.addresses: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href", "srcset", "data")]
        assert not any(name.startswith("on") for name, _ in attrs)


def html_of(folder: Path) -> str:
    return write_report(folder).read_text(encoding="utf-8")


def test_a_finished_run_shows_its_best_and_its_samples(finished: Path) -> None:
    html = html_of(finished)
    assert "红楼梦.txt" in html and "<mark>宝玉</mark>听了" in html
    assert "truncated:k1=64,k2=128" in html and "1.84 million parameters" in html and "finished" in html
    best = min((e for e in events() if e["event"] == "valid"), key=lambda e: float(str(e["nats"])))
    assert f"at step {best['step']:,}" in html and f"best {best['perplexity']:.1f}" in html


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_short_runs_and_missing_files_say_what_is_missing(tmp_path: Path, count: int) -> None:
    html = html_of(write_run(tmp_path / "run", list(events()[:count]), env=None, corpus=None))
    assert "env.json is missing." in html and "No samples were logged." in html and "No validation was logged." in html
    assert ("Nothing of it is logged yet." in html) == (count < 3)


def test_a_run_that_has_only_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("a: 1", encoding="utf-8")
    html = html_of(tmp_path)
    assert "metrics.jsonl is missing" in html and "No result is logged yet." in html


def test_samples_come_from_the_log_when_metrics_have_none(tmp_path: Path) -> None:
    assert "From <code>samples.txt" in html_of(write_run(tmp_path / "run", [], samples="step 1: 你好"))


def test_a_text_that_repeats_its_prefix_shows_it_once(tmp_path: Path) -> None:
    whole = {"event": "sample", "step": 1, "prefix": "ab", "text": "abc"}
    assert "<mark>ab</mark>c<" in html_of(write_run(tmp_path / "one", [whole]))
    apart = [whole, {"event": "sample", "step": 2, "prefix": "x", "text": "y"}]
    assert "<mark>ab</mark>abc<" in html_of(write_run(tmp_path / "two", apart))


def test_hostile_text_is_inert_everywhere(tmp_path: Path) -> None:
    lines = [
        {"event": "start", "parameters": HOSTILE},
        step(1, random.Random(0)),
        {"event": "sample", "step": 1, "prefix": HOSTILE, "text": HOSTILE},
        {"event": "end", "step": 1, "reason": HOSTILE},
    ]
    corpus = CORPUS | {"source": HOSTILE, HOSTILE: HOSTILE, "head": [[HOSTILE, 3]]}
    config = json.dumps({HOSTILE: {HOSTILE: HOSTILE}, "cell": HOSTILE, "gradient": HOSTILE})
    plain = Tags(html_of(write_run(tmp_path / "plain", list(events()[:2])))).tags
    html = html_of(write_run(tmp_path / "hostile", lines, corpus=json.dumps(corpus), config=config, env=config))
    page = Tags(html)
    assert page.tags.get("img", 0) == 0 and page.tags["script"] == plain["script"]
    assert "{{ 7*7 }}" in html and "alert(1)</script>" not in html


def test_the_page_asks_for_nothing_else(finished: Path) -> None:
    html = html_of(finished)
    assert all(address.startswith(("#", "data:")) for address in Tags(html).addresses)
    assert not re.search(r"https?://|@import|url\(", html)
    assert "default-src &#39;none&#39;" in html or "default-src 'none'" in html


def test_lone_surrogates_and_control_characters_do_not_stop_the_page(tmp_path: Path) -> None:
    sample = '{"event": "sample", "step": 1, "prefix": "\\ud800", "text": "\\u0000\\u202e ok"}'
    assert "ok" in html_of(write_run(tmp_path / "run", [sample]))


def test_a_hundred_thousand_steps_stay_below_a_megabyte(tmp_path: Path) -> None:
    rng = random.Random(0)
    lines: list[object] = [json.dumps(step(n, rng, 100_000)) for n in range(1, 100_001)]
    lines += [{"event": "sample", "step": n, "prefix": "却说", "text": "话" * 600} for n in range(1, 1000)]
    page = write_report(write_run(tmp_path / "long", lines))
    assert page.stat().st_size < 1_000_000 and "939 of 999 sampling steps" in page.read_text(encoding="utf-8")


def test_the_page_is_replaced_whole_and_leaves_no_draft(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = write_report(finished)
    page.write_text("old", encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(InputError, match="No space left"):
            write_report(finished)
    assert page.read_text(encoding="utf-8") == "old"
    write_report(str(finished))
    assert len(page.read_text(encoding="utf-8")) > 1000
    assert not [name for name in os.listdir(finished) if name.startswith(".")]


def test_facts_of_the_data_may_be_nested_and_words_have_bits_per_character(tmp_path: Path) -> None:
    facts = {"sources": ["a.txt", "b.txt"], "unit": "word", "parts": {"train": 12_345}, "unknown": {"valid": 0.0625}}
    valid = {"event": "valid", "step": 3, "nats": 4.0, "bits_per_character": 1.875}
    html = html_of(write_run(tmp_path / "run", [valid], corpus=json.dumps(facts)))
    assert "trained on a.txt, b.txt" in html and "Bits per word" in html and "1.88" in html
    assert re.search(r"parts · train</th><td[^>]*>12,345<", html) and re.search(r"unknown · valid</th><td[^>]*>6.25 %<", html)


def test_a_later_section_joins_the_page(finished: Path) -> None:
    extra = lambda run: Section("Gradient by lag", f"<p>{len(run.steps)} steps</p>")  # noqa: E731
    html = write_report(finished, sections=(*SECTIONS, extra)).read_text(encoding="utf-8")
    assert '<a href="#gradient-by-lag">' in html and "<p>3000 steps</p>" in html


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
KEYS = [
    "step",
    "epoch",
    "loss",
    "grad_norm",
    "clipped",
    "lr",
    "tokens",
    "seconds",
    "nats",
    "perplexity",
    "prefix",
    "text",
    "reason",
]
KEYS += ["best", "parameters", "train_nats", "clip_rate", "tokens_per_second"]
EVENTS = st.sampled_from(["start", "resume", "step", "epoch", "valid", "sample", "end"])
NUMBERS = st.integers(0, 9) | st.floats() | st.integers(-(10**320), 10**320)
LINES = st.builds(
    lambda event, n, body: {"event": event, "step": n} | body,
    EVENTS,
    NUMBERS,
    st.dictionaries(st.sampled_from(KEYS), NUMBERS | VALUES),
)
FACTS = st.dictionaries(st.sampled_from([*CORPUS, "clip", "cell", "gradient", "unit"]), NUMBERS | VALUES)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(lines=st.lists(LINES, max_size=8), facts=FACTS)
def test_no_contents_whatever_stop_the_page(tmp_path_factory: Any, lines: list[object], facts: dict[str, object]) -> None:
    folder = tmp_path_factory.mktemp("any") / "run"
    text = json.dumps(facts)
    html = html_of(write_run(folder, lines, config=text, env=text, corpus=text))
    assert html.rstrip().endswith("</html>") and read_run(folder).name == "run"
