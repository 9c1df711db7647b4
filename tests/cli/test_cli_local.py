"""The rules that look inside a step, from the command line: trained, refused, explained."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from cli_support import SMALL, Cli, events

TAKEN = {
    "kfrtrl": ("--cell", "rnn", "--embedding-size", "0", "--gradient", "kfrtrl:every=8,seed=1"),
    "rflo": ("--cell", "leaky-rnn", "--leak", "0.3", "--gradient", "rflo:every=8,feedback=random"),
    "eprop": ("--cell", "lstm", "--gradient", "eprop:every=8,loops=true"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_trained_on_a_small_text(cli: Cli, here: Path, name: str) -> None:
    assert cli("train", "book.txt", *SMALL, *TAKEN[name], "--out", "a", "--quiet").code == 0
    valid = [event["perplexity"] for event in events(here / "a") if event["event"] == "valid"]
    assert valid[-1] < valid[0] and math.isfinite(valid[-1])
    assert len(cli("generate", "a", "the ", "--length", "15").out) == 20


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--cell gru --gradient kfrtrl", "3 gates per unit"),
        ("--cell rnn --gradient kfrtrl", "--embedding-size 0"),
        ("--cell rnn --layers 2 --gradient rflo", "2 layers"),
        ("--cell tdnn --gradient eprop", "or take rtrl, uoro or truncated:k1=64"),
        ("--gradient rflo:feedback=randon", "Did you mean 'random'"),
        ("--gradient eprop:loops=1", "loops"),
        ("--cell leaky-rnn --leak 0", "leak=0"),
        ("--cell leaky-rnn --leak 1.5", "leak=1.5"),
        ("--cell gru --leak 0.5", "Use leaky-rnn"),
    ],
)
def test_refused_in_three_parts_before_anything_is_made(cli: Cli, here: Path, flags: str, said: str) -> None:
    ended = cli("train", "book.txt", *SMALL, *flags.split(), "--out", "a")
    assert ended.code == 2 and said in ended.err and "Traceback" not in ended.err
    assert not list((here / "a").glob("[!.]*"))


def test_what_has_no_map_is_explained_all_the_same(cli: Cli, here: Path) -> None:
    ended = cli("explain", "eprop", "full", "kfrtrl", "--steps", "4", "-o", "map.svg")
    assert ended.code == 0 and "EProp has no credit map" in ended.out and "cite      Mujika et al. 2018" in ended.out
    assert (here / "map.svg").is_file()
    found = cli("explain", "eprop", "--json").json["strategies"][0]
    assert found["credit"] is None and "bptt" in found["instead"] and found["unbiased"] is False
    ended = cli("explain", "eprop", "-o", "none.svg")
    assert ended.code == 2 and "no credit map" in ended.err and not (here / "none.svg").exists()


def test_the_table_of_rules(cli: Cli) -> None:
    ended = cli("explain", "--view", "rules", "rtrl", "kfrtrl")
    assert ended.code == 0
    lines = {
        line.split("  ")[0]: line.split()[-2:] for line in ended.out.splitlines() if line.endswith(("unbiased", "refused"))
    }
    assert lines["rnn"] == ["exact", "unbiased"] and lines["lstm"] == ["exact", "refused"]
    assert "  memory      O(H² + I) per row" in ended.out
    found = cli("explain", "--view", "rules", "eprop", "--json").json["strategies"]["eprop"]
    assert found["cells"]["gru"] == "biased" and found["cells"]["own cell"] == "refused"
    for flags in (("--steps", "3"), ("--cite",), ("--text", "a line")):
        assert "no such choice. " + flags[0] in cli("explain", "--view", "rules", *flags).err
