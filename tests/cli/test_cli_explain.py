"""`bptt explain`: what it prints, what it draws, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from cli_support import Cli

from bptt.cli.explain import opening_line, telling
from bptt.cli.facts import all_facts, cited
from bptt.config import parse_strategy
from bptt.gradients import STRATEGIES

PLUGIN = """
import dataclasses
from bptt.errors import InputError
from bptt.gradients import Truncated

@dataclasses.dataclass(frozen=True)
class Coin(Truncated):
    '''Heads or tails,
    every `k1` steps.

    Nobody reads this.'''
    seed: int = 0
    random = True

@dataclasses.dataclass(frozen=True)
class Choosy:
    '''Takes no number.'''
    what: str
    exact, random, online, omits, cost, memory, reference = False, False, False, "all", "none", "none", "@misc{x, title={Y}}"
    unbiased = per_window = property(lambda self: True)

    def __post_init__(self):
        raise InputError("no")

STRATEGIES = {"coin": Coin, "choosy": Choosy}
"""


@pytest.fixture
def plugin(here: Path) -> str:
    (here / "mine_explained.py").write_text(PLUGIN)
    return "--plugin=mine_explained"


def test_a_strategy_is_told_and_drawn_in_characters(cli: Cli) -> None:
    ended = cli("explain", "truncated:k1=20,k2=40")
    assert ended.code == 0 and ended.err == ""
    lines = ended.out.splitlines()
    assert lines[0] == "truncated:k1=20,k2=40" and "back through the last k2 steps." in lines[1]
    for said in ("exact     no", "cite      Williams & Peng 1990, An efficient", "lag →", "█ about 1", "lag k  mean weight"):
        assert said in ended.out
    assert "A loss reaches back 20 to 39 steps" in ended.out and "standard error" not in ended.out
    assert max(map(len, lines)) <= 100 and all(line == line.rstrip() for line in lines)
    assert sum(line[:5].strip().isdigit() and "█" in line for line in lines) == 32, "64 losses, two a line"


def test_in_a_narrow_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "44")
    for words in (("explain",), ("explain", "truncated:k1=20,k2=40"), ("explain", "--view", "cuts", "full", "truncated:k1=9")):
        ended = cli(*words)
        assert ended.code == 0 and max(map(len, ended.out.splitlines())) <= 44


def test_all_strategies_are_listed(cli: Cli) -> None:
    ended = cli("explain")
    assert ended.code == 0 and "unbiased" in ended.out.splitlines()[0]
    for name in STRATEGIES:
        assert any(line.startswith(name) for line in ended.out.splitlines())
    told = cli("explain", "--json").json["strategies"]
    assert [one["strategy"].partition(":")[0] for one in told] == list(STRATEGIES)
    assert told[0]["exact"] is True and told[1]["strategy"] == "truncated:k1=…"


def test_facts_that_depend_on_the_value(cli: Cli, here: Path, plugin: str) -> None:
    told = {one["strategy"]: one for one in cli("explain", plugin, "--json").json["strategies"]}
    assert told["choosy:what=…"]["unbiased"] is None and told["coin:k1=…"]["about"] == "Heads or tails, every `k1` steps."
    assert "–" in next(line for line in cli("explain", plugin).out.splitlines() if line.startswith("choosy"))


def test_json_of_maps(cli: Cli, here: Path) -> None:
    ended = cli("explain", "full", "truncated:k1=3", "--steps", "7", "--json", "-o", "m.svg")
    first, second = ended.json["strategies"]
    assert ended.code == 0 and ended.json["picture"] == "m.svg" and (here / "m.svg").is_file()
    assert first["strategy"] == first["credit"]["strategy"] == "full" and first["reference"].startswith("@")
    assert [sum(row) for row in first["credit"]["weights"]] == [1, 2, 3, 4, 5, 6, 7]
    assert [sum(row) for row in second["credit"]["weights"]] == [1, 2, 3, 1, 2, 3, 1]


def test_windows_matter_to_those_who_cut_there(cli: Cli) -> None:
    ended = cli("explain", "full", "--steps", "9", "--window", "3")
    assert ended.out.startswith("full, windows of 3\n") and "0 to 2 steps" in ended.out


def test_exact_and_unbiased_are_told_of_what(cli: Cli) -> None:
    told = cli("explain", "full").out
    assert "exact     in a window" in told and "unbiased  in a window" in told and "nothing within a window" in told
    told = cli("explain", "randomized:mean=8", "--steps", "9", "--draws", "3").out
    assert "exact     no" in told and "unbiased  yes" in told and "omits     nothing on average" in told
    told = cli("explain", "randomized:mean=8,limit=5", "--steps", "9", "--draws", "3").out
    assert "unbiased  no" in told and "omits     what lies before a stretch of 5 steps" in told
    rows = {line.split()[0]: line for line in cli("explain").out.splitlines() if line.strip()}
    assert "in a window" in rows["full"] and "in a window" not in rows["peroutput:k=…"]


def test_draws_and_seed(cli: Cli, plugin: str) -> None:
    told = cli("explain", plugin, "coin:k1=3", "--seed", "5", "--draws", "2", "--steps", "6", "--json").json["strategies"][0]
    assert told["strategy"] == "coin:k1=3,seed=5" and told["credit"]["draws"] == 2
    ended = cli("explain", plugin, "coin:k1=3", "--draws", "1", "--steps", "6")
    assert ended.code == 0 and "One draw" in ended.out and "nan" not in ended.out


def test_pictures(cli: Cli, here: Path) -> None:
    (here / "a.png").write_text("an older one")
    assert cli("explain", "full", "truncated:k1=4", "--steps", "9", "-o", "a.png").out.endswith("drawn: a.png\n")
    assert (here / "a.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert cli("explain", "--text", "<读> & write", "truncated:k1=4", "--output", "b.svg").code == 0
    ElementTree.parse(here / "b.svg")


def test_cuts_of_a_text(cli: Cli) -> None:
    ended = cli("explain", "--text", "one\n two\x1b[31m three", "truncated:k1=5", "full")
    assert ended.code == 0 and "one t│wo�[3│1m th│ree" in ended.out and "\x1b" not in ended.out
    assert "truncated:k1=5\n4 stretches of 3 to 5 steps; an edge weighs 1" in ended.out and "not cut" in ended.out


def test_the_three_rows_by_default(cli: Cli) -> None:
    told = cli("explain", "--view", "cuts", "--json").json
    assert told["text"] == opening_line() and 40 < len(told["text"]) < 100
    rows = {one["strategy"].partition(":")[0]: one for one in told["strategies"]}
    assert {"truncated", "full"} <= set(rows) <= {"randomized", "truncated", "full"}
    assert rows["truncated"]["cuts"] == list(range(10, len(told["text"]), 10)) and rows["full"]["cuts"] == []


def test_what_to_cite(cli: Cli, plugin: str) -> None:
    once = cli("explain", "--cite", "truncated:k1=3", "truncated:k1=4").out
    assert once.count("@article{williams1990efficient") == 1 and once.startswith("@")
    assert cli("explain", "--cite").out.count("@") >= 2


def test_a_citation_in_a_line() -> None:
    first = "@a{x,\n author = {Ann {B}ee and C. D{\\'e}e and E},\n title = {On\n  the {GPU}},\n year = {2001},\n}"
    several = first + "\n\n@b{y, author={F G}, title={H}}"
    assert cited(several) == "Bee et al. 2001, On the GPU; G, H"
    assert all(cited(one["reference"])[-1:].strip() for one in all_facts(STRATEGIES))


@pytest.mark.parametrize(
    ("written", "steps"),
    [("full", 24), ("truncated:k1=2", 12), ("truncated:k1=5,k2=9", 27), ("truncated:k1=200", 64)],
)
def test_a_picture_that_tells(written: str, steps: int) -> None:
    assert telling([parse_strategy(written)]) == steps


WRONG = {
    "trunctated:k1=3": "Did you mean 'truncated'?",
    "truncated": "needs k1",
    "full -o map.pdf": "map.svg",
    "full -o no/map.svg": "folder",
    "full --steps 0": "steps must be a whole number",
    "full --steps many": "steps='many'",
    "full --steps 1000": "at most 512",
    "full --draws 4": "no chance",
    "truncated:k1=3 --seed 4": "no chance",
    "truncated:k1=3 --window 4": "Where windows end leaves no trace",
    "randomized:mean=4 --draws 0": "draws must be",
    "-o map.svg": "no strategy to show",
    "--view map --steps 20 -o x.svg": "--steps, --view, --output",
    "--window 4": "no strategy to show",
    "full --cite -o x.svg": "nothing else",
    "full --window 0": "window must be",
    "full --view mop": "mop",
    "--text abc --view map": "--view map",
    "--text abc --steps 4": "--steps",
    "--text a": "1 characters",
    f"--text {'a' * 513}": "2 to 512",
    "--plugin nothing_here": "nothing_here",
    "full --stepz 3": "Did you mean '--steps'?",
}


@pytest.mark.parametrize("words", WRONG)
def test_one_line_that_names_what_is_wrong(cli: Cli, here: Path, words: str) -> None:
    before = sorted(here.iterdir())
    ended = cli("explain", *words.split())
    assert ended.code == 2 and ended.out == "" and len(ended.lines) == 1
    assert ended.err.startswith("bptt: error: ") and WRONG[words] in ended.err and "Traceback" not in ended.err
    assert sorted(here.iterdir()) == before


def test_json_has_no_number_that_is_none(cli: Cli, plugin: str) -> None:
    out = cli("explain", plugin, "coin:k1=3", "--draws", "1", "--steps", "4", "--json").out

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(out, parse_constant=refuse)


def test_a_name_that_cannot_be_drawn_is_refused_before_anything_is_measured(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bptt.cli.explain.credit", None)
    assert cli("explain", "full", "-o", "map.gif").code == 2


def test_a_rule_without_credits_is_told_by_what_it_keeps(cli: Cli) -> None:
    ended = cli("explain", "snap:n=2")
    assert ended.code == 0 and ended.err == ""
    assert "2 · ████· " in ended.out and "17% of the influence is kept" in ended.out and "There is no credit map" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 100
    both = cli("explain", "snap:n=1", "full")
    assert both.code == 0 and "8% of the influence" in both.out and "Every loss reaches back" in both.out
    told = json.loads(cli("explain", "snap:n=1", "full", "--json").out)["strategies"]
    assert told[0]["credit"] is None and told[1]["credit"]["steps"] >= 12
    for asked in (["--steps", "8"], ["-o", "map.svg"]):
        refused = cli("explain", "snap:n=1", *asked)
        assert refused.code == 2 and "no credit map" in refused.err
