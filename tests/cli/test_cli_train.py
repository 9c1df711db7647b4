"""Training from the command line: the run that results, its settings, its continuation, its display."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from cli_support import SMALL, Cli, events

from bptt.cli import progress
from bptt.cli.train import opening
from bptt.data import read_text


def test_a_run_with_everything_in_it(cli: Cli, here: Path) -> None:
    ended = cli("train", "book.txt", *SMALL)
    run = here / "runs" / "book-gru-1"
    assert ended.code == 0
    expected = {"config.yaml", "env.json", "corpus.json", "metrics.jsonl", "samples.txt", "report.html", "checkpoints"}
    assert expected <= {path.name for path in run.iterdir()}
    assert "validation perplexity" in ended.out and "runs/book-gru-1/report.html" in ended.out
    assert "bptt generate runs/book-gru-1 'the 0 cats saw 0' --length 300" in ended.out
    assert cli("train", "book.txt", *SMALL, "--quiet").out == "runs/book-gru-2\n"


@pytest.mark.parametrize(
    ("text", "unit", "quoted"),
    [
        ("\n红楼梦，宝玉道：“好妹妹。”", "byte", "'红楼梦，宝'"),
        ("it's \x1b[31m\nred", "char", "'it'\"'\"'s [31m'"),
        ("one two three four five", "word", "'one two three'"),
    ],
)
def test_the_next_command_begins_as_the_text_does(here: Path, text: str, unit: str, quoted: str) -> None:
    (here / "text").write_text(text, encoding="utf-8")
    assert opening(read_text(here / "text", unit=unit, valid=0.0)) == quoted


def test_config_yaml_says_all_and_gives_the_same_run(cli: Cli, here: Path) -> None:
    assert cli("train", "book.txt", *SMALL, "--lower", "--clip", "none", "--out", "a").code == 0
    written = yaml.safe_load((here / "a" / "config.yaml").read_text())
    assert written["corpus"] == ["book.txt"] and written["corpus_at"] == [str(here / "book.txt")]
    assert written["gradient"] == "truncated:k1=16" and written["clip"] is None and written["lower"] is True
    assert cli("train", "--config", "a/config.yaml", "--out", "b").code == 0
    assert events(here / "a") == events(here / "b")


def test_printed_settings_can_be_read_again(cli: Cli, here: Path) -> None:
    first = cli("train", "book.txt", *SMALL, "--sample-prefix", "the ", "--sample-prefix", "猫: #", "--print-config")
    assert first.code == 0 and not (here / "runs").exists()
    (here / "c.yaml").write_text(first.out, encoding="utf-8")
    assert cli("train", "--config", "c.yaml", "--print-config").out == first.out
    assert yaml.safe_load(first.out)["sample_prefix"] == ["the ", "猫: #"]


def test_flags_win_over_the_file_and_both_spellings_are_keys(cli: Cli, here: Path) -> None:
    (here / "c.yaml").write_text("hidden-size: 5\nbatch_size: 7\nlr: 3e-3\ncorpus: a.txt\n")
    flat = yaml.safe_load(cli("train", "book.txt", "--config", "c.yaml", "--batch-size", 9, "--print-config").out)
    assert (flat["hidden_size"], flat["batch_size"], flat["lr"], flat["corpus"]) == (5, 9, 0.003, ["book.txt"])


def test_the_seed_is_of_the_parameters_too(cli: Cli, here: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert cli("train", "book.txt", *SMALL, "--seed", seed, "--out", name).code == 0
    assert events(here / "a") == events(here / "b") != events(here / "c")


def test_more_epochs_for_a_finished_run(cli: Cli, here: Path) -> None:
    constant = ("--schedule", "constant")
    assert cli("train", "book.txt", *SMALL, *constant, "--out", "a").code == 0
    resumed = cli("train", "--resume", "a", "--epochs", 3, "--sample-every", 0)
    assert resumed.code == 0 and "epoch 3/3" in resumed.err
    assert [e["epoch"] for e in events(here / "a") if e["event"] == "epoch"] == [1, 2, 3]
    assert yaml.safe_load((here / "a" / "config.yaml").read_text())["epochs"] == 3
    assert cli("train", "--resume", "a").code == 0


def test_resume_finds_the_text_from_elsewhere(cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("train", "book.txt", *SMALL, "--schedule", "constant", "--out", "a").code == 0
    (here / "sub").mkdir()
    monkeypatch.chdir(here / "sub")
    assert cli("train", "--resume", "../a", "--epochs", 3).code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("--lr", 1),
        ("--hidden-size", 9),
        ("--lower",),
        ("--gradient", "full"),
        ("--seed", 5),
        ("--batch-size", 2),
        ("book.txt",),
    ],
)
def test_resume_refuses_to_make_it_another_run(cli: Cli, trained: Path, words: tuple) -> None:
    before = events(trained)
    ended = cli("train", "--resume", trained, *words)
    assert ended.code == 2 and len(ended.lines) == 1 and "Leave it out" in ended.err
    assert events(trained) == before


def test_resume_refuses_another_text(cli: Cli, here: Path) -> None:
    assert cli("train", "book.txt", *SMALL, "--out", "a").code == 0
    with open("book.txt", "a", encoding="utf-8") as file:
        file.write("the ")
    ended = cli("train", "--resume", "a", "--epochs", 3)
    assert ended.code == 2 and "another text" in ended.err and len(ended.lines) == 1


def test_json_events(cli: Cli) -> None:
    ended = cli("train", "book.txt", *SMALL, "--json")
    told = [json.loads(line) for line in ended.out.splitlines()]
    kinds = [event["event"] for event in told]
    assert kinds[0] == "start" and kinds[-2:] == ["end", "run"] and {"step", "epoch", "valid", "sample"} <= set(kinds)
    assert told[-1]["path"] == "runs/book-gru-1" and ended.err == ""


def test_plain_lines_without_a_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    ended = cli("train", "book.txt", *SMALL)
    assert sum(line.startswith("epoch") and "validation" in line for line in ended.lines) >= 2
    assert any("update" in line and "gradient" in line and "clipped" in line and "left" in line for line in ended.lines)
    assert not set(ended.out + ended.err) & {"\x1b", "\r", "\b"}


def test_quiet_says_nothing_but_the_place(cli: Cli) -> None:
    ended = cli("train", "book.txt", *SMALL, "--quiet", "--out", "a")
    assert (ended.out, ended.err) == ("a\n", "")


def test_a_shrinking_batch_is_one_note(cli: Cli, here: Path) -> None:
    (here / "short.txt").write_text("a short text, hardly enough")
    ended = cli("train", "short.txt", *SMALL, "--batch-size", 64, "--valid", 0, "--quiet")
    assert ended.code == 0 and len(ended.lines) == 1 and ended.err.startswith("bptt: note: ") and "Warning" not in ended.err


def test_no_validation_part(cli: Cli) -> None:
    ended = cli("train", "book.txt", *SMALL, "--valid", 0)
    assert ended.code == 0 and "training perplexity" in ended.out


def test_several_files_and_standard_input(cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "more.txt").write_text("more of it")
    assert cli("train", "book.txt", "--epochs", 1, "more.txt", *SMALL, "--out", "a").code == 0
    size = (here / "book.txt").stat().st_size + 10
    assert json.loads((here / "a" / "corpus.json").read_text())["bytes"] == size
    with open("book.txt") as file:
        monkeypatch.setattr("sys.stdin", file)
        assert cli("train", "-", *SMALL, "--quiet").out == "runs/stdin-gru-1\n"


def test_a_text_that_came_through_a_pipe_is_kept_with_the_run(cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("train", "book.txt", *SMALL, "--epochs", 3, "--out", "file").code == 0
    with open("book.txt") as file:
        monkeypatch.setattr("sys.stdin", file)
        assert cli("train", "-", *SMALL, "--epochs", 3, "--schedule", "constant", "--out", "pipe").code == 0
        assert cli("train", "--resume", "pipe", "--epochs", 4).code == 0
    facts = [cli("evaluate", run, "--json").json for run in ("file", "pipe")]
    assert facts[0]["tokens"] == facts[1]["tokens"] > 0


def test_overwrite_replaces(cli: Cli, here: Path) -> None:
    assert cli("train", "book.txt", *SMALL, "--out", "a").code == 0
    assert cli("train", "book.txt", *SMALL, "--out", "a", "--cell", "rnn", "--overwrite").code == 0
    assert yaml.safe_load((here / "a" / "config.yaml").read_text())["cell"] == "rnn"


def test_a_plugin_brings_strategies(cli: Cli, here: Path) -> None:
    (here / "mine.py").write_text(
        "import dataclasses\nfrom bptt.gradients import Truncated\n\n"
        "@dataclasses.dataclass(frozen=True)\nclass Half(Truncated):\n    k1: int = 8\n\nSTRATEGIES = {'half': Half}\n"
    )
    words = ("book.txt", *SMALL, "--schedule", "constant", "--gradient", "half", "--out", "a")
    assert "There is no such gradient strategy" in cli("train", *words).err
    assert cli("train", *words, "--plugin", "mine").code == 0
    assert yaml.safe_load((here / "a" / "config.yaml").read_text())["gradient"] == "half"
    assert cli("train", "--resume", "a", "--epochs", 3).code == 2
    assert cli("train", "--resume", "a", "--epochs", 3, "--plugin", "mine").code == 0


@pytest.mark.parametrize(
    "content", ["STRATEGIES = {}", "STRATEGIES = {'x': 3}", "1/0", "", "from bptt.gradients import STRATEGIES"]
)
def test_a_plugin_that_brings_none(cli: Cli, here: Path, content: str) -> None:
    name = f"bad{abs(hash(content))}"
    (here / f"{name}.py").write_text(content)
    ended = cli("train", "--plugin", name, "book.txt", *SMALL)
    assert ended.code == 2 and name in ended.err and len(ended.lines) == 1


def test_fewer_epochs_than_are_done_are_refused(cli: Cli, here: Path) -> None:
    assert cli("train", "book.txt", *SMALL, "--out", "a").code == 0
    before = (here / "a" / "config.yaml").read_text()
    ended = cli("train", "--resume", "a", "--epochs", 1)
    assert ended.code == 2 and "2 done, epochs=1" in ended.err
    assert (here / "a" / "config.yaml").read_text() == before


def test_what_the_strategy_refuses_leaves_the_run_that_is_there_and_the_corrected_command_works(cli: Cli, here: Path) -> None:
    refused = ("book.txt", *SMALL, "--gradient", "checkpointed:budget=1KiB")
    assert cli("train", "book.txt", *SMALL, "--quiet", "--out", "old").code == 0
    before = {path: path.read_bytes() for path in (here / "old").rglob("*") if path.is_file()}
    for out, more in (("old", ["--overwrite"]), ("new", [])):
        ended = cli("train", *refused, "--out", out, *more)
        assert ended.code == 2 and "The budget" in ended.err and "Traceback" not in ended.err
    assert {path: path.read_bytes() for path in (here / "old").rglob("*") if path.is_file() and path.name != ".lock"} == {
        path: content for path, content in before.items() if path.name != ".lock"
    }
    assert cli("train", *refused[:-1], "checkpointed:budget=1MiB", "--quiet", "--out", "new").code == 0
