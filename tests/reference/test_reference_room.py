"""The room itself: NumPy alone, and every example in it runs."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys

import pytest

from bptt import reference


def test_it_does_not_load_torch():
    program = "import sys; from bptt import reference; print('torch' in sys.modules, 'numpy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("name", reference.__all__)
def test_the_examples_run(name):
    module = importlib.import_module(f"bptt.reference.{name}")
    failed, tried = doctest.testmod(module)
    assert tried and not failed
    public = [value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__]
    assert all(value.__doc__ for value in public)
