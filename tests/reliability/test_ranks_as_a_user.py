"""`bptt train` in several processes as people meet it: signals, kills, what is said and by whom, mistakes in starting it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from processes import ended, ranks

from bptt.cli import main
from bptt.training import checkpoint

TEXT = "".join(f"the {n % 7} cats saw {n % 5} dogs; “{n % 11}” 猫.\n" for n in range(60))
SMALL = (
    *("--hidden-size", "8", "--batch-size", "5", "--steps", "16", "--gradient", "truncated:k1=16", "--threads", "1"),
    *("--sample-every", "0", "--dtype", "float64", "--schedule", "constant", "--device", "cpu"),
)
BPTT = ("-m", "bptt")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BPTT_DEBUG", raising=False)
    (tmp_path / "book.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path


def wait_for_step(process: subprocess.Popen[str], step: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("step", 0) >= step:
            return
    raise AssertionError(process.communicate())


def updates(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    kept = ("loss", "grad_norm", "tokens", "step", "perplexity")
    return [{key: line[key] for key in kept if key in line} for line in lines if line["event"] in ("step", "valid")]


def whole(place: str, epochs: int) -> list[dict[str, float]]:
    """What one process does that nobody interrupts."""
    assert main(["train", "book.txt", *SMALL, "--epochs", str(epochs), "--quiet", "--out", place]) == 0
    return updates(Path(place))


def one_line(ends: Sequence[tuple[int, str, str]]) -> str:
    """What all processes together said on standard error: one line."""
    said = [line for _, _, err in ends for line in err.splitlines()]
    assert len(said) == 1, said
    return said[0]


@pytest.mark.parametrize(
    ("number", "code", "to"),
    [pytest.param(signal.SIGTERM, 143, 1, marks=pytest.mark.slow), pytest.param(signal.SIGINT, 130, 0, marks=pytest.mark.slow)],
)
def test_a_signal_to_any_process_stops_all_at_one_update(here: Path, number: int, code: int, to: int) -> None:
    with ranks(2, [*BPTT, "train", "book.txt", *SMALL, "--epochs", "16", "--out", "cut", "--json"], here) as started:
        wait_for_step(started[0], 30)
        started[to].send_signal(number)
        ends = ended(started)
    assert [end[0] for end in ends] == [code, code]
    line = one_line(ends)
    assert "saved at update" in line and "--resume cut" in line
    assert not ends[1][1]
    assert (here / "cut" / "report.html").is_file()
    saved = int(line.partition("saved at update ")[2].split()[0])
    assert 30 <= saved < 320
    # One process goes on: the run is the one that one process would have made, up to rounding.
    assert main(["train", "--resume", "cut", "--quiet"]) == 0
    found, wanted = updates(here / "cut"), whole("whole", 16)
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one == pytest.approx(other, rel=1e-9)


@pytest.mark.parametrize(
    ("size", "dead"), [(2, 1), *(pytest.param(size, dead, marks=pytest.mark.slow) for size, dead in ((2, 0), (3, 0), (3, 2)))]
)
def test_where_one_is_killed_all_end_and_one_says_so(here: Path, size: int, dead: int) -> None:
    words = [*BPTT, "train", "book.txt", *SMALL, "--epochs", "10000", "--out", "cut", "--json", "--save-every", "7"]
    with ranks(size, words, here) as started:
        wait_for_step(started[0], 30)
        begun = time.monotonic()
        started[dead].kill()
        ends = ended(started)
    assert time.monotonic() - begun < 30
    assert [end[0] for end in ends] == [-signal.SIGKILL if rank == dead else 1 for rank in range(size)]
    said = [line for _, _, err in ends for line in err.splitlines()]
    # Where the first process is gone, so is what the others would agree on the speaker by.
    assert len(said) == 1 if dead or size == 2 else 1 <= len(said) < size
    assert "Another process of this training has ended" in said[0] and "--resume" in said[0]
    saved = checkpoint.load(here / "cut" / "checkpoints")
    assert saved.step >= 21 and not saved.step % 7


@pytest.mark.slow
def test_one_that_does_not_answer_is_given_up(here: Path) -> None:
    words = [*BPTT, "train", "book.txt", *SMALL, "--epochs", "10000", "--out", "cut", "--json", "--timeout", "4"]
    with ranks(2, words, here) as started:
        wait_for_step(started[0], 30)
        started[1].send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        _, err = started[0].communicate(timeout=60)
    assert started[0].returncode == 1 and time.monotonic() - begun < 25
    assert err.count("\n") == 1 and "does not answer" in err and "4 s" in err


@pytest.mark.slow
def test_torchrun(here: Path) -> None:
    """The command of the documentation, and the same run by one process."""
    words = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "bptt", "train", "book.txt", *SMALL]
    done = subprocess.run(
        [sys.executable, *words, "--epochs", "2", "--out", "two"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("validation perplexity") == 1 and done.stderr.count("epoch 2/2") == 1
    for one, other in zip(updates(here / "two"), whole("one", 2), strict=True):
        assert one == pytest.approx(other, rel=1e-9)
    assert json.loads((here / "two" / "env.json").read_text())["processes"] == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("train", "book.txt", *SMALL, "--batch-size", "1"), 2, "more processes than rows"),
        (("train", "-", *SMALL), 2, "standard input"),
        (("train", "no-such.txt", *SMALL), 2, "no-such.txt"),
        (("train", "book.txt", "--batch-sise", "4"), 2, "--batch-size"),
        (("train", "--resume", "nowhere"), 2, "nowhere"),
        (("train", "book.txt", *SMALL, "--gradient", "adaptive:bias=0"), 2, "bias"),
    ],
)
def test_a_mistake_is_said_once_and_all_end_with_its_code(here: Path, words: tuple[str, ...], code: int, said: str) -> None:
    with ranks(2, [*BPTT, *words], here) as started:
        ends = ended(started)
    assert [end[0] for end in ends] == [code, code]
    assert said in one_line(ends)
    assert not (here / "runs").exists()


@pytest.mark.slow
def test_a_number_that_is_not_finite_ends_both(here: Path) -> None:
    words = [*BPTT, "train", "book.txt", *SMALL, "--optimizer", "sgd", "--clip", "none", "--lr", "1e308", "--out", "run"]
    with ranks(2, words, here) as started:
        ends = ended(started)
    assert [end[0] for end in ends] == [1, 1]
    said = [line for _, _, err in ends for line in err.splitlines() if "error" in line]
    assert len(said) == 1 and "not finite" in said[0]


@pytest.mark.slow
def test_a_directory_in_use_ends_both(here: Path) -> None:
    words = [*BPTT, "train", "book.txt", *SMALL, "--out", "run", "--json", "--epochs"]
    with ranks(2, [*words, "10000"], here) as first:
        wait_for_step(first[0], 5)
        with ranks(2, [*words, "1", "--overwrite"], here) as second:
            ends = ended(second)
        first[1].send_signal(signal.SIGTERM)
        assert [end[0] for end in ended(first)] == [143, 143]
    assert [end[0] for end in ends] == [3, 3]
    assert "Another process is working in this run directory" in one_line(ends)
