"""What only real processes show: signals, two at once, pipes, terminals, and how fast the help is there."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_support import SMALL, TEXT, Cli, events

from bptt.cli import main

BPTT = [sys.executable, "-m", "bptt"]
LONG = (*SMALL, "--sample-every", "0", "--schedule", "constant")


def begin(*words: str, **how: int) -> subprocess.Popen:
    """A process of its own, with pipes, and whatever terminal `how` gives it."""
    return subprocess.Popen([*BPTT, *words], **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how})


def wait_for_step(process: subprocess.Popen, step: int) -> None:
    """Read its events until an update is reached."""
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("step", 0) >= step:
            return
    raise AssertionError(process.communicate())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "book.txt").write_text(TEXT, encoding="utf-8")
    assert main(["train", str(folder / "book.txt"), *LONG, "--epochs", "16", "--quiet", "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)])
def test_interrupted_and_resumed_is_as_if_nothing_had_happened(
    cli: Cli, here: Path, whole: Path, number: int, code: int
) -> None:
    process = begin("train", "book.txt", *LONG, "--epochs", "16", "--out", "cut", "--json")
    wait_for_step(process, 30)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.decode().count("\n") == 1 and "saved at update" in err.decode() and "--resume cut" in err.decode()
    assert events(here / "cut")[-1]["reason"] == "interrupted" and (here / "cut" / "report.html").is_file()
    assert cli("train", "--resume", "cut").code == 0
    assert events(here / "cut") == events(whole)


def test_two_processes_on_one_run(cli: Cli, here: Path) -> None:
    process = begin("train", "book.txt", *LONG, "--epochs", "100000", "--out", "a", "--json")
    try:
        wait_for_step(process, 3)
        for words in (("book.txt", *LONG, "--out", "a", "--overwrite"), ("--resume", "a")):
            ended = cli("train", *words)
            assert ended.code == 3 and len(ended.lines) == 1 and str(process.pid) in ended.err
        assert cli("runs", ".", "--json").json[0]["state"] == "running"
    finally:
        process.kill()
        process.communicate()


def test_no_control_codes_without_a_terminal_and_a_closed_pipe_is_quiet(trained: Path) -> None:
    environment = {**os.environ, "FORCE_COLOR": "1", "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}
    process = subprocess.run([*BPTT, "train", "book.txt", *SMALL], capture_output=True, env=environment, check=True)
    assert b"\x1b" not in process.stdout + process.stderr and b"\r" not in process.stdout + process.stderr
    reader = begin("generate", str(trained), "--length", "20000")
    assert reader.stdout is not None and reader.stderr is not None
    reader.stdout.read(50)
    reader.stdout.close()
    assert reader.stderr.read() == b"" and reader.wait(timeout=60) == 1


def test_a_terminal_sees_bars(here: Path) -> None:
    ours, theirs = pty.openpty()
    process = begin("train", "book.txt", *SMALL, "--epochs", "3", stderr=theirs)
    os.close(theirs)
    seen = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the last process on the other side has gone
            break
        if not piece:
            break
        seen += piece
    assert process.wait(timeout=60) == 0
    text = seen.decode(errors="replace")
    assert "━" in text and "epoch 1/3" in text and "tokens/s" in text
    assert "validation perplexity" in process.communicate()[0].decode()
    assert text.rindex("\x1b[?25h") > text.index("\x1b[?25l")
