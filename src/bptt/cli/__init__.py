"""The command `bptt`: the only room that parses, prints or exits.

Knows the names of the commands; each is a module of its own, imported when it is called for, so that help comes at once.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from bptt.cli.allocator import keep_freed_memory
from bptt.cli.ending import ending
from bptt.errors import InputError, did_you_mean

COMMANDS = {
    "train": "Train a language model on a text, or go on with a run",
    "evaluate": "Measure how well a run's model predicts a text",
    "generate": "Let a run's model write on",
    "score": "The probability of a sentence, token by token",
    "runs": "List the runs in a folder",
    "forecast": "Forecast a series, and judge it against the baselines",
    "report": "Write the page on a run: curves, samples, settings",
    "baseline": "Predict a text by counting: n-grams, Kneser-Ney, Markov chains, beside a run or alone",
    "stats": "Count a text: frequent tokens and n-grams, Zipf's law, rare ones",
    "compare": "Compare gradient strategies on one model: bias, variance, time, memory, a race",
    "diagnose": "Say how far back a run's gradients reach, and what its truncation leaves out",
    "explain": "Say what a gradient strategy is, and draw which losses reach which steps",
    "doctor": "Say what this machine has, what is missing and what will be used",
}
HELP = """usage: bptt COMMAND …        bptt COMMAND --help        bptt --version

Train recurrent networks through time.

{commands}

A first run, about a minute:
  bptt train --max-tokens 100000 --epochs 2 --out runs/first
  bptt generate runs/first "The " --length 300

A run is a directory: settings, metrics, checkpoints, samples, report.html. Exit codes: 0 done, 1 failed, 2 bad input,
3 run directory in use, 130 and 143 interrupted (the run is saved: bptt train --resume RUN). BPTT_DEBUG=1 shows tracebacks.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. Nothing that a user can do wrong ends in a traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    return ending(lambda: dispatch(words))


def dispatch(words: list[str]) -> int:
    """The command that the first word names, on the others."""
    first = words[0] if words else "--help"
    if first in ("-h", "--help", "help"):
        print(HELP.format(commands="\n".join(f"  {name:10} {line}" for name, line in COMMANDS.items())), end="")
        return 0
    if first in ("-V", "--version"):
        from bptt import __version__

        print(f"bptt {__version__}")
        return 0
    if first not in COMMANDS:
        kind = "flag" if first.startswith("-") else "command"
        raise InputError(f"No such {kind} {first!r}", "", f"{did_you_mean(first, list(COMMANDS))} See bptt --help")
    keep_freed_memory()
    if os.environ.get("WORLD_SIZE"):  # read when torch is loaded: what its sockets would tell in forty lines, we tell in one
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    command = importlib.import_module(f"bptt.cli.{first}")
    return command.run(command.parser().read(words[1:]))


__all__ = ["main"]
