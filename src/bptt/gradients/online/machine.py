"""How much memory there is to hold an influence in.

Knows the operating system's figures; must not know who asks.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

# What a container may use, in the two versions of Linux control groups.
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory(device: torch.device) -> int | None:
    """Bytes of memory of a device, all of it, used or not; of the CPU no more than this process may have. None: unknown."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    names = getattr(os, "sysconf_names", {})
    known = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if "SC_PHYS_PAGES" in names else []
    for path in map(Path, LIMITS):
        limit = path.read_text(encoding="ascii").strip() if path.is_file() else ""
        known += [int(limit)] if limit.isdigit() else []
    return min(known, default=None)
