"""`bptt explain --draw`: pictures of networks, what is told without one, and what is refused."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from cli_support import Cli

from bptt.graph import networks


def test_a_network_is_drawn(cli: Cli, here: Path) -> None:
    ended = cli("explain", "--draw", "rnn", "--steps", "3", "-o", "rnn.svg")
    assert ended.code == 0 and ended.err == "" and ended.out.endswith("drawn: rnn.svg\n")
    assert "h_3  ← W_hx, x_3, W_hh, h_2, b_h" in ended.out
    assert "unrolled over 3 steps" in ElementTree.parse(here / "rnn.svg").getroot()[0].text
    assert cli("explain", "--draw", "rnn", "-o", "same.svg").code == 0
    assert (here / "same.svg").read_bytes() == (here / "rnn.svg").read_bytes(), "3 steps by default"


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_every_network_folded_and_unrolled(cli: Cli, here: Path, name: str) -> None:
    assert cli("explain", "--draw", name, "--folded", "-o", "a.svg").code == 0
    assert cli("explain", "--draw", name, "--gradients", "--numbers", "--norms", "-o", "b.svg").code == 0
    for picture in ("a.svg", "b.svg"):
        ElementTree.parse(here / picture)


def test_what_h_3_depends_on(cli: Cli, here: Path) -> None:
    ended = cli("explain", "--draw", "linear", "--highlight", "h_3")
    assert ended.out.splitlines()[2] == "h_3  ← W_hx, x_3, W_hh, h_2" and "o_1" not in ended.out and "-o rnn.svg" in ended.out
    cli("explain", "--draw", "linear", "--highlight", "h_3", "-o", "h.svg")
    assert "#2563c9" in (here / "h.svg").read_text()


def test_as_a_strategy_cuts_it(cli: Cli, here: Path) -> None:
    ended = cli("explain", "truncated:k1=2", "--draw", "lstm", "--steps", "4", "--gradients", "-o", "cut.svg")
    assert "LSTM, unrolled over 4 steps, truncated:k1=2" in ended.out and "h_2 (cut)" in ended.out and "c_2 (cut)" in ended.out
    assert "cut: the value passes" in (here / "cut.svg").read_text()
    drawn = cli("explain", "randomized:mean=2", "--draw", "rnn", "--steps", "8", "--seed", "3", "--json").json
    edges = {link["target"]: link for link in drawn["links"] if link["source"][0] == "h" == link["target"][0]}
    assert {link["weight"] for link in edges.values()} == {1.0, 2.0} and any(link["cut"] for link in edges.values())
    assert (
        "losses 1 to 2"
        in cli("explain", "peroutput:k=1", "--draw", "rnn", "-o", "each.svg").out + (here / "each.svg").read_text()
    )
    cut = cli("explain", "full", "--draw", "rnn", "--steps", "4", "--window", "2").out
    assert "h_2 (cut)" in cut, "where windows end"


def test_as_dot_and_as_json(cli: Cli, here: Path) -> None:
    assert cli("explain", "--draw", "gru", "-o", "gru.dot").code == 0
    assert (here / "gru.dot").read_text().startswith("digraph")
    told = cli("explain", "--draw", "gru", "--json", "-o", "gru.svg").json
    assert (
        told["picture"] == "gru.svg"
        and "h_3" in told["nodes"]
        and {"source", "target", "cut", "weight"} <= told["links"][0].keys()
    )


def test_many_steps_are_said_to_be_many(cli: Cli, here: Path) -> None:
    assert cli("explain", "--draw", "rnn", "--steps", "8", "-o", "a.svg").err == ""
    ended = cli("explain", "--draw", "rnn", "--steps", "9", "-o", "b.svg")
    assert ended.code == 0 and ended.lines == ["bptt: note: a picture is easy to read up to about 8 steps; this one has 9."]
    assert cli("explain", "--draw", "rnn", "--steps", "9").err == "", "no picture, no note"


def test_numbers_are_told_without_a_picture(cli: Cli, here: Path) -> None:
    ended = cli("explain", "--draw", "rnn", "--steps", "2", "--numbers", "--norms")
    lines = {line.split()[0]: line for line in ended.out.splitlines() if line}
    assert "‖·‖" in lines["h_2"] and "‖∂‖" in lines["h_2"] and "← W_hx, x_2, W_hh, h_1, b_h" in lines["h_2"]
    assert "‖∂‖" in lines["W_hh"] and "←" not in lines["W_hh"] and "‖∂‖" not in lines["x_1"]
    exact = cli("explain", "--draw", "rnn", "--steps", "2", "--numbers", "--norms", "--json").json
    assert len(exact["values"]["W_hx"]) == 3 and exact["values"]["L"] == pytest.approx(
        exact["values"]["l_1"] + exact["values"]["l_2"]
    )
    assert f"{exact['norms']['W_hh']:.3g}" in lines["W_hh"] and "x_1" not in exact["norms"]


def test_what_depends_on_nothing(cli: Cli, here: Path) -> None:
    assert "W_hh  depends on nothing" in cli("explain", "--draw", "rnn", "--highlight", "W_hh").out


def test_other_numbers(cli: Cli, here: Path) -> None:
    for seed in ("1", "2"):
        assert cli("explain", "--draw", "rnn", "--numbers", "--seed", seed, "-o", f"{seed}.svg").code == 0
    assert (here / "1.svg").read_text() != (here / "2.svg").read_text()


WRONG = {
    "--draw rmn": "Did you mean 'rnn'?",
    "--draw rnn --steps 0": "--steps 0",
    "--draw rnn --steps 65": "1 to 64",
    "--draw rnn -o a.png": "SVG or DOT",
    "--draw rnn -o no/a.svg": "folder",
    "--draw rnn --highlight h_9 -o a.svg": "no h_9",
    "--draw rnn --view map": "--view",
    "--draw rnn --text abc": "--text",
    "--draw rnn --cite": "--cite",
    "--draw rnn --draws 3": "--draws",
    "--draw rnn --seed 3": "no chance",
    "--draw rnn --window 3": "leaves no trace",
    "--draw rnn --folded --steps 4": "--steps",
    "--draw rnn --folded --norms": "--norms",
    "--draw rnn --folded full": "a strategy",
    "--draw rnn --layout grid": "--layout grid",
    "--draw rnn --gradients": "Add -o rnn.svg",
    "--draw rnn --layout graphviz -o a.svg": "Graphviz is not installed",
    "--draw rnn full truncated:k1=2": "2 strategies",
    "--draw rnn trunctated:k1=2": "Did you mean 'truncated'?",
    "--draw tdnn full": "nothing to cut",
    "--draw output-to-hidden-teacher full": "nothing to cut",
    "--highlight h_3": "no network to draw",
    "full --gradients": "--gradients",
    "full --layout grid": "no network to draw",
}


@pytest.mark.parametrize("words", WRONG)
def test_one_line_that_names_what_is_wrong(cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.setenv("PATH", str(here))
    before = sorted(here.iterdir())
    ended = cli("explain", *words.split())
    assert ended.code == 2 and ended.out == "" and len(ended.lines) == 1
    assert ended.err.startswith("bptt: error: ") and WRONG[words] in ended.err and "Traceback" not in ended.err
    assert sorted(here.iterdir()) == before
