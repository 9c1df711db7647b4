"""R4, by reading: nothing in src/ can execute what it loads, or hand a text to a shell."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import bptt

SOURCE = Path(bptt.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
IMPORTS = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "tarfile", "zipfile"}
NAMES = {"eval", "exec", "compile", "__import__", "execfile", "breakpoint"}
CALLS = {"os.system", "os.popen", "torch.load", "torch.save", "torch.jit.load", "torch.hub.load", "np.load", "numpy.load"}
CALLS |= {"yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "pandas.read_pickle", "pd.read_pickle"}
# The user's own modules, named on the command line alone, and our own public names.
MAY_IMPORT = {"cli/plugin.py", "cli/__init__.py", "__init__.py"}


def dotted(node: ast.expr) -> str:
    """The name that a call is written with, "" for anything else."""
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return node.id if isinstance(node, ast.Name) else ""


def forbidden(program: str, name: str) -> list[str]:
    """What must not stand in a module, by line."""
    found = []
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.Import):
            found += [f"{node.lineno}: import {a.name}" for a in node.names if a.name.split(".")[0] in IMPORTS]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.lineno}: from {node.module}"] * (node.module.split(".")[0] in IMPORTS)
            found += [f"{node.lineno}: {a.name}" for a in node.names if f"{node.module}.{a.name}" in CALLS]
        elif isinstance(node, ast.Call):
            called = dotted(node.func)
            words = {word.arg: word.value for word in node.keywords}
            bad = called in CALLS or called in NAMES or ("import_module" in called and name not in MAY_IMPORT)
            bad |= any(isinstance(words.get(word), ast.expr) for word in ("shell", "allow_pickle"))
            found += [f"{node.lineno}: {called}"] * bad
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_executes_what_it_loads(path: Path) -> None:
    assert not forbidden(path.read_text(encoding="utf-8"), str(path.relative_to(SOURCE)))


@pytest.mark.parametrize(
    "program",
    [
        *("import pickle", "import os, pickle as p", "from pickle import loads", "from torch import load", "eval('1')"),
        *("exec(text)", "yaml.load(text)", "yaml.load(text, Loader=yaml.SafeLoader)", "torch.load(path, weights_only=True)"),
        *("subprocess.run(line, shell=True)", "np.load(path, allow_pickle=True)", "os.system(line)", "import zipfile"),
        *("importlib.import_module(name)", "__import__(name)", "compile(text, '', 'exec')"),
    ],
)
def test_the_reading_finds_it(program: str) -> None:
    assert forbidden(program, "training/run.py")


@pytest.mark.parametrize("program", ["model.eval()", "re.compile(text)", "torch.compile(layer)", "yaml.safe_load(text)"])
def test_the_reading_leaves_what_is_safe(program: str) -> None:
    assert not forbidden(program, "training/run.py")
