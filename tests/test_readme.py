"""The README is true: its Python runs, its commands are understood."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
PYTHON = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
COMMANDS = re.findall(r"^bptt .*?(?=\s{2,}#|$)", README.read_text(encoding="utf-8"), re.M)
QUICKER = {
    "compare": ["--probes", "1", "--draws", "3", "--probe-steps", "64", "--threads", "1"],
    "diagnose": ["--steps", "32", "--threads", "1"],
    "explain": ["--steps", "12"],
}
SMALLER = [("hidden_size=256", "hidden_size=8"), ("epochs=3", "epochs=1"), ("256", "16"), ("length=200", "length=20")]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text("All this happened, more or less. " * 300, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_the_python_runs(number, here):
    program = PYTHON[number]
    for large, small in SMALLER:
        program = program.replace(large, small)
    exec(compile(program, f"README {number}", "exec"), {})  # noqa: S102 - our own README


def test_the_commands_run_in_their_order(here):
    """Every command, on a smaller model."""
    assert len(COMMANDS) >= 8
    for command in COMMANDS:
        arguments = shlex.split(command)[1:]
        if arguments[0] == "train" and "--resume" not in arguments:
            arguments += ["--hidden-size", "8", "--epochs", "1", "--threads", "1"]
        arguments += QUICKER.get(arguments[0], [])
        done = subprocess.run([sys.executable, "-m", "bptt", *arguments], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
