"""The house stands as it is drawn: what an import loads, which room may know which, and the public names."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import bptt

SOURCE = Path(bptt.__file__).parent
# From the ground up: a room imports only rooms before it.
ROOMS = [
    ["errors", "files"],
    ["nest", "structure"],
    ["reference", "graph"],
    ["types"],
    ["ranks"],
    ["data"],
    ["kernels"],
    ["nn"],
    ["losses", "metrics"],
    ["linear_losses"],
    ["inference"],
    ["counting"],
    ["models"],
    ["gradients"],
    ["training"],
    ["forecasting"],
    ["diagnostics"],
    ["report"],
    ["testing"],
    ["config"],
    ["cli"],
    ["__main__"],
]
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "bptt":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("bptt.")}
    return found - {"__version__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_room_knows_only_rooms_below_it(path):
    own = room_of(path)
    for room in imported_rooms(path) - {own}:
        assert LEVEL[room] < LEVEL[own], f"{own} may not know {room}"


def test_strategies_know_types_and_nothing_of_models_or_training():
    for path in (SOURCE / "gradients").glob("*.py"):
        assert imported_rooms(path) <= {"gradients", "types", "nest", "errors"}, path


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_every_public_name_loads_torch_and_numpy_and_nothing_else():
    program = (
        "import sys, json, torch, numpy; before = set(sys.modules); import bptt; [getattr(bptt, n) for n in bptt.__all__]; "
        "print(json.dumps(sorted({name.split('.')[0] for name in set(sys.modules) - before})))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    foreign = set(json.loads(found.stdout)) - {"bptt"} - set(sys.stdlib_module_names) - {"torch", "numpy"}
    assert not foreign


def test_help_does_not_wait_for_torch():
    program = "import sys; from bptt.cli import main; main(['--help']); main(['trian']); print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "False" and "'train'" in found.stderr


def test_the_public_names_are_these():
    assert bptt.__all__ == sorted(bptt.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert set(bptt.__all__) == {
        *("BpttError", "CheckpointError", "ContractError", "DivergedError", "InputError", "Interrupted", "RunInUseError"),
        *("ShapeError", "Corpus", "TextStream", "Tokens", "Vocabulary", "open_corpus", "read_text", "credit"),
        *("Carry", "Estimate", "Strategy", "Window", "Full", "Truncated", "PerOutput", "Randomized", "Telescoping", "Adaptive"),
        *("Checkpointed", "RTRL", "SnAp", "UORO", "KFRTRL", "RFLO", "EProp", "SyntheticGradient"),
        *("LanguageModel", "Unroll", "diagnose"),
        *("Forecaster", "Series", "SeriesModel", "read_series", "read_task"),
        *("OnlineLearner", "Run", "Score", "citation", "compare", "fit", "load", "perplexity"),
        *("counting", "gradients", "graph", "losses", "nn", "reference", "testing"),
    }


@pytest.mark.parametrize("name", bptt.__all__)
def test_every_public_name_is_documented(name):
    text = getattr(bptt, name).__doc__
    assert text and len(text.split()) >= 4, name


def test_no_file_has_grown_into_two_ideas():
    long = {str(path): n for path in MODULES if (n := len(path.read_text(encoding="utf-8").splitlines())) > 400}
    assert not long
