"""What the figures were measured on.

Knows the process and its machine; must not know figures.
"""

from __future__ import annotations

import os
import platform
from typing import Any

import torch

import bptt
from bptt.kernels import library
from bptt.training.environment import processor


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine(jax: str) -> dict[str, Any]:
    """Facts by name. `jax` is its version, empty where it does not take part."""
    loaded = library.load()
    return {
        "processor": processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "bptt": bptt.__version__,
        "kernel": f"readable: {loaded}" if isinstance(loaded, str) else f"fused, {loaded.isa}",
        "torch": torch.__version__,
        "products": "MKL" if torch.backends.mkl.is_available() else "no MKL",
        "jax": jax,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def header(facts: dict[str, Any]) -> str:
    """The facts as one paragraph."""
    jax = f", JAX {facts['jax']}" if facts["jax"] else ""
    return (
        f"{facts['processor']}, {facts['cores']} cores, {facts['threads']} threads, {facts['system']}, load {facts['load']} at "
        f"the start; Python {facts['python']}, torch {facts['torch']} ({facts['products']}){jax}; "
        f"bptt {facts['bptt']}, kernel {facts['kernel']}; float32."
    )
