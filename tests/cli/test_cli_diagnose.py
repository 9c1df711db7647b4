"""`bptt diagnose` on a trained run, and the watch of `bptt train`: what is printed, written, drawn and refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from cli_support import SMALL, Cli, events

import bptt
from bptt.cli.diagnosis import curve, marks
from bptt.cli.train import watchers
from bptt.config import Config
from bptt.diagnostics import Watch
from bptt.gradients import Truncated


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained run that a test may write into."""
    place = tmp_path / "runs" / "mine"
    shutil.copytree(trained, place)
    return place


def test_it_prints_the_verdict_first_and_what_to_change_last(cli: Cli, run: Path) -> None:
    ended = cli("diagnose", run, "--steps", 40, "--rows", 2, "--threads", 1)
    lines = ended.out.splitlines()
    assert ended.code == 0 and ended.err == ""
    assert lines[0] == f"the best checkpoint of {run} on its validation part, 2 rows × 40 steps"
    assert lines[2].startswith("Gradients ")
    assert "truncated:k1=16 is " in ended.out and "(K90)" in ended.out and "(K99)" in ended.out
    assert any(set(line.strip()) <= set("▁▂▃▄▅▆▇█") and len(line.strip()) > 30 for line in lines)
    for heading in (
        "‖∂l_t/∂h_(t−k)‖",
        "K terms of each loss",
        "largest singular value",
        "Lyapunov exponents",
        "what to change",
    ):
        assert heading in ended.out
    assert max(map(len, lines[1:-1])) <= 100
    assert lines[-1].split() == ["page", str(run / "report.html")]


def test_it_writes_what_the_library_finds_and_the_report_shows_it(cli: Cli, run: Path) -> None:
    told = cli("diagnose", run, "--steps", 40, "--rows", 2, "--threads", 1, "--json").json
    written = json.loads((run / "diagnose.json").read_text(encoding="utf-8"))
    assert {**written, "run": str(run), "page": str(run / "report.html")} == told
    model = bptt.load(run)
    corpus = bptt.read_text(run.parent.parent / "book.txt", vocab=model.vocab, test=0.1)
    found = bptt.diagnose(model, corpus, strategy=Truncated(16), window=16, steps=40, rows=2)
    assert written["errors"] == pytest.approx(found.lags.errors.tolist(), rel=1e-9, abs=1e-12)
    assert written["strategy"]["bias"] == pytest.approx(found.own.total.bias, rel=1e-9)
    assert (written["k90"], written["part"], written["checkpoint"]) == (found.k90, "validation", "best")
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Gradient through time" in page and written["words"][0] in page


def test_a_part_a_checkpoint_and_a_picture(cli: Cli, run: Path, tmp_path: Path) -> None:
    picture = tmp_path / "gradient.svg"
    ended = cli("diagnose", run, "--steps", 30, "--part", "train", "--checkpoint", "last", "-o", picture)
    assert ended.code == 0 and ended.out.startswith(f"the last checkpoint of {run} on its training part, 4 rows × 30 steps")
    assert picture.read_text(encoding="utf-8").startswith("<?xml") and str(picture) in ended.out


def test_a_run_on_random_windows_is_diagnosed_on_random_windows(cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "random"
    assert cli("train", tmp_path / "book.txt", *SMALL, "--sampling", "random", "--quiet", "--out", run).code == 0
    ended = cli("diagnose", run, "--steps", 40, "--rows", 2, "--threads", 1)
    assert "truncated:k1=16 gives the exact gradient of these 32 steps" in ended.out
    assert "Rows start anew after 16 steps at most" in ended.out and "the last 15 steps of 2 rows" in ended.out


def test_the_run_can_still_be_replaced_and_resumed(cli: Cli, run: Path, tmp_path: Path) -> None:
    assert cli("diagnose", run, "--steps", 20).code == 0
    assert cli("train", "--resume", run, "--epochs", 3, "--quiet").code == 0
    assert cli("train", tmp_path / "book.txt", *SMALL, "--quiet", "--out", run, "--overwrite").code == 0
    assert not (run / "diagnose.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--steps", "0"), "steps must be a whole number of steps, at least 1"),
        (("--rows", "many"), "rows must be a whole number"),
        (("--rows", "0"), "rows must be a whole number of at least 1"),
        (("--part", "other"), "--part"),
        (("-o", "map.pdf"), "SVG or PNG"),
        (("-o", "nowhere/map.png"), "does not exist"),
        (("--stesp", "3"), "Did you mean '--steps'?"),
        (("--plugin", "no.such"), "cannot be imported"),
    ],
)
def test_mistakes_are_one_line_and_code_2(cli: Cli, trained: Path, words: tuple[str, ...], said: str) -> None:
    ended = cli("diagnose", trained, *words)
    assert ended.code == 2 and said in ended.err and len(ended.lines) == 1
    assert not (trained / "diagnose.json").exists()


def test_a_directory_without_a_run_or_a_text(cli: Cli, tmp_path: Path, run: Path) -> None:
    assert cli("diagnose", tmp_path / "nothing").code == 2
    config = (run / "config.yaml").read_text(encoding="utf-8")
    (run / "config.yaml").write_text("cell: gru\n", encoding="utf-8")
    ended = cli("diagnose", run)
    assert ended.code == 2 and "bptt.diagnose in your code" in ended.err
    (run / "config.yaml").write_text(config.replace("truncated:k1=16", "mine:k=3"), encoding="utf-8")
    assert "There is no such gradient strategy" in cli("diagnose", run).err


def test_the_curve_is_logarithmic_and_fits() -> None:
    assert curve([1, 0.1, 0.01], 10) == ("█▅▁", 1)
    assert curve([1.0, 1.0], 10) == ("▁▁", 1) and curve([1.0, 0.0], 10) == ("█ ", 1)
    bars, pool = curve([0.9**k for k in range(1000)], 60)
    assert pool == 17 and len(bars) == 59 and bars[0] == "█" and bars[-1] == "▁"
    assert marks(24, 1) == "1        10        20"
    assert marks(256, 3).split() == ["1", "50", "100", "150", "200", "250"]


def test_a_watched_run_says_its_notice_once_among_its_lines(cli: Cli, tmp_path: Path) -> None:
    words = [*SMALL, "--gradient", "truncated:k1=1", "--sample-every", "0", "--out", tmp_path / "run"]
    ended = cli("train", tmp_path / "book.txt", *words, "--watch")
    said = [line for line in ended.lines if "off the exact gradient" in line]
    assert ended.code == 0 and len(said) == 1
    assert said[0].startswith("update ") and "truncated:k1=1 is " in said[0] and "consider truncated:k1=" in said[0]
    told = [event for event in events(tmp_path / "run") if event["event"] == "notice" and "watcher" in event]
    assert [event["text"] + "." for event in told] == [said[0].partition(": ")[2]]
    other = [*words[:-1], tmp_path / "other"]
    assert "off the exact gradient" not in cli("train", tmp_path / "book.txt", *other, "--no-watch").err
    states = [bptt.load(tmp_path / name, which="last").state_dict() for name in ("run", "other")]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_a_run_is_watched_by_itself_only_if_it_is_long(tmp_path: Path) -> None:
    corpus = bptt.read_text(tmp_path / "book.txt")
    config = Config.from_flat({"epochs": 2, "batch_size": 4, "steps": 16})
    assert watchers(None, config, corpus) == [] and watchers(False, config, corpus) == []
    (wanted,) = watchers(True, config, corpus)
    assert wanted.at == len(corpus.train) // 64 and wanted.at < Watch.at
    long = Config.from_flat({"epochs": 100 * Watch().cost // len(corpus.train) + 1, "batch_size": 4, "steps": 16})
    (default,) = watchers(None, long, corpus)
    assert default.at == Watch.at and watchers(False, long, corpus) == []
