"""`bptt doctor`: what this machine has, what is missing, and what will be used."""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from bptt.cli.output import emit, table
from bptt.cli.parser import Parser
from bptt.data.corpora import cache_folder
from bptt.kernels import choose
from bptt.training.devices import find_device
from bptt.training.environment import KERNELS, processor

EXAMPLE = """
bptt doctor
bptt doctor --json
"""
NEEDED = ("numpy", "safetensors", "pyyaml", "rich", "jinja2")
OPTIONAL = {"jieba": ("chinese", "Chinese words"), "tensorboard": ("tensorboard", "TensorBoard event files")}


def parser() -> Parser:
    """The flags of `bptt doctor`."""
    made = Parser(
        "doctor",
        "Say what this machine has, what is missing and what will be used. Exit code 1 if training cannot work.",
        EXAMPLE,
        "",
    )
    made.add_argument("--json", action="store_true", help="one JSON object on standard output")
    return made


def run(args: argparse.Namespace) -> int:
    """Look; 1 if something that training needs is missing."""
    sections = {
        "versions": versions(),
        "machine": machine(),
        "kernels": kernels(),
        "extras": extras(),
        "data": data(),
    }
    problems = [*missing(), *(problem for check in CHECKS if (problem := check()))]
    if args.json:
        emit({**sections, "problems": problems, "ok": not problems})
        return int(bool(problems))
    for title, rows in sections.items():
        print(f"{title}\n{table(rows.items())}\n")
    for problem in problems:
        print(f"problem: {problem}")
    print("Everything that training needs is here." if not problems else "Training will not work until this is mended.")
    return int(bool(problems))


def versions() -> dict[str, str]:
    """Of Python and of everything that is needed."""
    return {"bptt": version("bptt"), "python": platform.python_version(), "torch": torch.__version__} | {
        name: version(name) for name in NEEDED
    }


def version(name: str) -> str:
    """The installed version of a distribution, or that there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def machine() -> dict[str, str]:
    """Processor, threads, device, and how torch was built."""
    device = find_device("auto")
    gpu = f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""
    return {
        "platform": platform.platform(),
        "processor": f"{processor()}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}",
        "threads": f"{torch.get_num_threads()} (set with --threads)",
        "device": f"{device}{gpu} (set with --device)",
        "torch build": build(),
    }


def build() -> str:
    """What torch was built with, as far as it matters here."""
    cuda = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    parts = [
        cuda,
        *(name for name, has in (("MKL", torch.backends.mkl), ("OpenMP", torch.backends.openmp)) if has.is_available()),
    ]
    return ", ".join([*parts, *(["oneDNN"] if torch.backends.mkldnn.is_available() else [])])


def kernels() -> dict[str, str]:
    """Which kernel runs each cell here, and why."""
    chosen = {cell: choose(name, find_device("auto"), torch.float32) for cell, name in KERNELS.items()}
    return {cell: f"{kernel.name}: {kernel.reason}" for cell, kernel in chosen.items()}


def extras() -> dict[str, str]:
    """What is not needed, and how to get it."""
    return {
        name: f"installed, for {use}" if find_spec(name) else f'not installed, for {use}: pip install "bptt[{extra}]"'
        for name, (extra, use) in OPTIONAL.items()
    }


def data() -> dict[str, str]:
    """Where texts are looked for."""
    folder = os.environ.get("BPTT_DATA")
    found = sorted(path.stem for path in Path(folder).glob("*.txt")) if folder and Path(folder).is_dir() else []
    told = f"{folder}: {', '.join(found) or 'no .txt files'}" if folder else "not set (a folder of NAME.txt files)"
    return {"BPTT_DATA": told, "downloads": str(cache_folder())}


def missing() -> list[str]:
    """What is needed and not installed."""
    return [f"{name} is not installed: pip install {name}" for name in NEEDED if version(name) == "not installed"]


def cannot_compute() -> str | None:
    """A gradient of a small product, on the device that will be used."""
    try:
        x = torch.ones(2, 2, device=find_device("auto"), requires_grad=True)
        (x @ x).sum().backward()
    except RuntimeError as error:
        return f"torch cannot compute here: {error}"
    return None


def cannot_write() -> str | None:
    """A file in the temporary folder."""
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"bptt")
    except OSError as error:
        return f"the temporary folder {tempfile.gettempdir()} cannot be written: {error.strerror}"
    return None


CHECKS: tuple[Callable[[], Any], ...] = (cannot_compute, cannot_write)
