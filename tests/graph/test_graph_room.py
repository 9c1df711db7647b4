"""The room itself: NumPy alone, every example in it runs, everything public is documented."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys

import pytest

from bptt import graph

MODULES = ("node", "operations", "gradient", "evaluate", "flow", "unroll", "networks", "drawing")


def test_it_does_not_load_torch():
    program = (
        "import sys; from bptt import graph; graph.draw(graph.networks.rnn().unroll(2)); "
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'torch', 'numpy', 'matplotlib', 'jinja2', 'rich'}))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "['numpy']"


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name):
    module = importlib.import_module(f"bptt.graph.{name}")
    failed, tried = doctest.testmod(module)
    assert not failed and (tried or name in ("operations", "unroll"))


@pytest.mark.parametrize("name", graph.__all__)
def test_every_public_name_is_documented(name):
    text = getattr(graph, name).__doc__
    assert text and len(text.split()) >= 2, name
