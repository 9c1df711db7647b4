"""Freed memory stays with the process: the next step finds its pages where they were."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# By itself glibc learns thresholds from what is freed, with more or less luck: here it is told to give everything back.
STINGY = {"MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}
KEPT = """
import os, sys, torch
from bptt.cli.allocator import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    print("none")
    raise SystemExit
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
torch.ones(2**20)
before = resident()
blocks = [torch.ones(2**20) for _ in range(16)]
del blocks
print((resident() - before) >> 20)
"""


def kept(how: str) -> str:
    """MiB that stay of 64 after they were freed."""
    env = {**os.environ, **STINGY}
    done = subprocess.run([sys.executable, "-c", KEPT, how], capture_output=True, text=True, check=True, timeout=60, env=env)
    return done.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_pages_stay():
    found = kept("keep")
    if found == "none":
        pytest.skip("another C library")
    assert int(kept("leave")) < 16 < 48 < int(found)
