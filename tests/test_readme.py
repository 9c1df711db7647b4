"""The README is true: its Python runs, its commands are understood. So is the Python of the pages on gradients."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import bptt
from bptt.cli import main
from bptt.testing.examples import problem

README = Path(__file__).parents[1] / "README.md"
PYTHON = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
ALONE = ("online.md", "tasks.md")  # pages whose Python needs nothing but themselves
PAGES = {
    page.stem: blocks
    for page in [
        *sorted((README.parent / "docs" / "gradients").glob("*.md")),
        *(README.parent / "docs" / name for name in ALONE),
    ]
    # What looks like a session is checked, figures included, where those figures are.
    if (blocks := [b for b in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S) if ">>>" not in b])
}
COMMANDS = re.findall(r"^bptt .*?(?=\s{2,}#|$)", README.read_text(encoding="utf-8"), re.M)
QUICKER = {
    "compare": ["--probes", "1", "--draws", "3", "--probe-steps", "64", "--threads", "1"],
    "diagnose": ["--steps", "32", "--threads", "1"],
    "explain": ["--steps", "12"],
    "forecast": ["--hidden-size", "8", "--epochs", "2", "--threads", "1"],
}
SMALLER = [
    ("hidden_size=256", "hidden_size=8"),
    ("hidden_size=128", "hidden_size=8"),
    ("steps=64", "steps=16"),
    ("race=20", "race=0.1"),
    ("epochs=3", "epochs=1"),
    ("256", "16"),
    ("length=200", "length=20"),
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text("All this happened, more or less. " * 300, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_the_python_runs(number, here):
    execute(PYTHON[number], f"README {number}", {})


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_the_pages_on_gradients_runs(page, here):
    """Block after block, with what a reader of the page has at hand."""
    made = problem("gru")
    names = {"bptt": bptt, "unroll": made.unroll, "window": made.window, "carry": bptt.Carry(made.state)}
    for number, program in enumerate(PAGES[page]):
        execute(program, f"{page} {number}", names)


def test_every_page_that_shows_a_call_is_among_them():
    assert {"checkpointed", "compare", "diagnose", "online", "tasks"} <= PAGES.keys()


def execute(program, name, names):
    for large, small in SMALLER:
        program = program.replace(large, small)
    exec(compile(program, name, "exec"), names)  # noqa: S102 - our own pages


def test_the_commands_run_in_their_order(here, capsys):
    """Every command, on a smaller model, all in this process: what a process is for has tests of its own."""
    assert len(COMMANDS) >= 8
    for command in COMMANDS:
        arguments = shlex.split(command)[1:]
        if arguments[0] == "train" and "--resume" not in arguments:
            arguments += ["--hidden-size", "8", "--epochs", "1", "--threads", "1"]
        arguments += QUICKER.get(arguments[0], [])
        code = main(arguments)
        told = capsys.readouterr()
        assert code == 0, f"{command}\n{told.out}\n{told.err}"
        assert "Traceback" not in told.err
