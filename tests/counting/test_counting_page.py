"""The page on counting is true: its Python runs, its commands are understood, its table is what is counted."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

import bptt
from bptt.cli import main
from bptt.counting import statistics

PAGE = (Path(__file__).parents[2] / "docs" / "counting.md").read_text(encoding="utf-8")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text("All this happened, more or less. The war parts, anyway. " * 40, encoding="utf-8")
    return tmp_path


def test_the_python_runs(here, capsys):
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    exec(compile(program, "counting.md", "exec"), {})  # noqa: S102 - our own page
    assert "Zipf" in capsys.readouterr().out or "possible" in PAGE


def test_the_commands_run(here, capsys):
    small = ["--hidden-size", "4", "--epochs", "1", "--threads", "1", "--quiet"]
    assert main(["train", "book.txt", *small, "--out", "runs/book"]) == 0
    commands = re.findall(r"^bptt .*?(?=\s{2,}#|$)", PAGE, re.M)
    assert len(commands) == 4
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0, command
    assert (here / "zipf.svg").is_file() and (here / "counted" / "stats.html").is_file()


@pytest.mark.skipif("BPTT_DATA" not in os.environ, reason="BPTT_DATA is not set")
@pytest.mark.parametrize("name, unit, row", [("wikitext2-valid", "word", "WikiText-2"), ("hongloumeng", "char", "红楼梦")])
def test_the_table_is_what_is_counted(name, unit, row):
    corpus = bptt.read_text(name, unit=unit, valid=0, reserved=())
    found = statistics(corpus.train, corpus.vocab)
    line = next(line for line in PAGE.splitlines() if line.startswith(f"| {row}"))
    assert f"| {found.tokens:,} | {found.vocabulary:,} | {round(100 * found.orders[0].once / found.vocabulary)} % |" in line
    for order in found.orders:
        assert f"{order.zipf.exponent:.3f} ± {order.zipf.error:.3f}" in line and f"to {order.zipf.last:,})" in line
    shares = ["46.5 %", "9.13 %", "4.91 %", "6.86 %", "32.6 %"]
    if name == "wikitext2-valid":
        assert [f"{100 * share:.3g} %" for share in found.tails[1].actual] == shares
