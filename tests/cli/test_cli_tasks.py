"""Tasks with a known optimum from the command line: trained, resumed, judged beside their floor."""

from __future__ import annotations

import json

import pytest
from cli_support import SMALL, events

TASKS = [
    "coin:lags=1,3,size=2000",
    "copy:length=2,lag=2,size=2000",
    "anbn:size=2000",
    "brackets:size=2000",
    "adding:length=4,size=2000",
]
FLOORS = {"coin": "1.575", "copy": "1", "anbn": "1.212", "brackets": "2.005", "adding": "0"}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_trained_and_its_floor_is_shown(task, cli, tmp_path):
    name = task.partition(":")[0]
    ended = cli("train", task, *SMALL, "--cell", "gru", "--out", str(tmp_path / "run"))
    assert ended.code == 0, ended.err
    row = next(line for line in ended.out.splitlines() if line.startswith("floor"))
    assert row.split()[1] == FLOORS[name] and "no model can do better" in row and "above it" in ended.out
    assert "rmse" in ended.out if name == "adding" else "perplexity" in ended.out
    assert ("bptt generate" in ended.out) == (name in ("copy", "anbn", "brackets"))
    facts = json.loads((tmp_path / "run" / "corpus.json").read_text())
    page = (tmp_path / "run" / "report.html").read_text()
    assert list(facts["levels"].values())[-1] == facts["floor"] and f"floor: {list(facts['levels'])[-1]}" in page
    assert "Known optimum" in page and "this run, best validation" in page
    if name != "adding":
        assert "floor" in cli("evaluate", str(tmp_path / "run")).out


@pytest.mark.parametrize("task", [TASKS[0], TASKS[-1]])
def test_a_resumed_task_equals_one_that_was_not_interrupted(task, cli, tmp_path):
    flags = [*SMALL, "--schedule", "constant", "--gradient", "full"]
    assert cli("train", task, *flags, "--out", str(tmp_path / "whole"), "--epochs", "3").code == 0
    assert cli("train", task, *flags, "--out", str(tmp_path / "half"), "--epochs", "1").code == 0
    ended = cli("train", "--resume", str(tmp_path / "half"), "--epochs", "3")
    assert ended.code == 0, ended.err
    whole, half = ([e for e in events(tmp_path / run) if e["event"] == "valid"] for run in ("whole", "half"))
    assert len(whole) == 3 and whole == half


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["coin", "anbn"], "stands alone"),
        (["coin", "--unit", "word"], "no text to be read"),
        (["bracket"], "Did you mean 'brackets'?"),
        (["coin:lag=3"], "Did you mean 'lags'?"),
        (["adding", "--tie-weights"], "Leave tie_weights out"),
    ],
)
def test_what_a_task_cannot_be_is_said(words, said, cli):
    ended = cli("train", *words, "--quiet")
    assert ended.code == 2 and said in ended.err and "Traceback" not in ended.err


def test_counting_says_nothing_of_a_coin(cli):
    ended = cli("baseline", "coin:size=2000")
    assert ended.code == 2 and "Counting predicts" in ended.err
    assert cli("baseline", "anbn:size=2000").code == 0
