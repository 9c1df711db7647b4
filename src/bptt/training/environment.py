"""What a run ran on: versions, machine, precision, kernel. Written into the run, so that a figure can be traced."""

from __future__ import annotations

import platform
from typing import Any

import numpy
import torch

from bptt.kernels import choose


def environment(device: torch.device, dtype: str, cell: str, processes: int = 1) -> dict[str, Any]:
    """Facts about the process, as plain JSON; `cell` is a name, whether of one of our cells or not."""
    from bptt import __version__

    kind = torch.float64 if dtype == "float64" else torch.float32
    kernel = choose(KERNELS[cell], device, kind) if cell in KERNELS else None
    return {
        "bptt": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "platform": platform.platform(),
        "processor": processor(),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else "",
        "dtype": dtype,
        "threads": torch.get_num_threads(),
        "processes": processes,
        "kernel": kernel.name if kernel else "readable" if cell in PLAIN else "the cell's own steps",
        "kernel_reason": kernel.reason if kernel else PLAIN.get(cell, ""),
    }


def processor() -> str:
    """The processor's name, where the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), platform.machine())
    except OSError:
        return platform.processor() or platform.machine()


SCAN = "a scan over all steps of a stretch in torch's operations"
PLAIN = {
    "lru": SCAN,
    "mingru": SCAN,
    "tdnn": "torch's matrix products, over all steps of a stretch at once",
    "output-to-hidden": "plain torch operations, step by step unless every step is forced",
}
KERNELS = {"rnn": "elman", "leaky-rnn": "leaky", "lstm": "lstm", "gru": "gru"}
