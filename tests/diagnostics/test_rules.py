"""The table of rules and cells: what is asked, what comes out, and the page that shows it."""

from __future__ import annotations

from pathlib import Path

import bptt
from bptt.cli.explain import ASKED
from bptt.config import parse_strategy
from bptt.diagnostics.rules import CELLS, VERDICTS, rule_table, verdict
from bptt.gradients import STRATEGIES

PAGES = Path(__file__).parents[2] / "docs" / "gradients"


def test_the_page_shows_what_comes_out():
    """If it does not: `bptt explain --view rules`, and the table into the page."""
    seen = []
    found = rule_table({name: parse_strategy(name) for name in ASKED}, lambda done, total: seen.append((done, total)))
    assert found.markdown() in (PAGES / "rules.md").read_text(encoding="utf-8"), found.markdown()
    assert seen[-1] == (len(ASKED), len(ASKED)) and (PAGES / "influence.png").is_file()
    assert {verdict for each in found.verdicts.values() for verdict in each} == set(VERDICTS)
    assert list(found.to_json()) == ASKED and found.to_json()["rtrl"]["cells"]["lstm"] == "exact"


def test_every_online_rule_that_says_what_it_is_stands_in_it():
    asked = {type(parse_strategy(name)) for name in ASKED}
    local = {bptt.RTRL, bptt.UORO, bptt.KFRTRL, bptt.SnAp, bptt.RFLO, bptt.EProp, bptt.SyntheticGradient}
    assert local <= asked and local <= set(STRATEGIES.values())
    assert all((PAGES / f"{kind.__name__.lower()}.md").is_file() for kind in (bptt.KFRTRL, bptt.RFLO, bptt.EProp))


def test_what_a_strategy_says_is_not_taken_for_what_it_does():
    assert verdict(bptt.SnAp(1), "lru") == verdict(bptt.SnAp(1), "mingru") == "exact" and not bptt.SnAp(1).exact
    assert verdict(bptt.Truncated(100), "gru") == "exact" and verdict(bptt.Truncated(4), "gru") == "biased"
    assert verdict(bptt.EProp(loops=True), "rnn") == "biased" and verdict(bptt.KFRTRL(), "gru") == "refused"
    assert len(CELLS) == 9
