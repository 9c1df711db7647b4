"""JAX as a peer: a process in its own environment, kept warm, that is told the problem and asked for times.

Knows the lines that jax_peer.py reads and writes; must not know JAX.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from problem import Problem
from torch import Tensor


class Jax:
    """The process behind `python`, an interpreter that has JAX."""

    def __init__(self, python: str, threads: int) -> None:
        command = [python, str(Path(__file__).with_name("jax_peer.py")), str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version: str = self._answer()["jax"]

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("The JAX process ended; what it said is above")
        return json.loads(line)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send one request and wait for its answer."""
        assert self.process.stdin is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return self._answer()

    def peer(self, problem: Problem) -> JaxPeer:
        """The problem, compiled there and run once."""
        with tempfile.TemporaryDirectory() as folder:
            tensors, results = Path(folder, "in.npz"), Path(folder, "out.npz")
            given = {f"in{i}": tensor for i, tensor in enumerate(problem.inputs)}
            given |= {f"out{i}": tensor for i, tensor in enumerate(problem.weights)}
            np.savez(tensors, **{name: tensor.detach().numpy() for name, tensor in given.items()})
            self.ask(load=problem.size.cell, tensors=str(tensors), results=str(results))
            with np.load(results) as file:
                ends = [torch.from_numpy(file[f"end{i}"]) for i in range(len(problem.weights))]
                gradients = [torch.from_numpy(file[f"gradient{i}"]) for i in range(len(problem.inputs))]
        return JaxPeer(self, ends, gradients)

    def close(self) -> None:
        """Let the process end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


class JaxPeer:
    """One problem in that process."""

    def __init__(self, jax: Jax, ends: list[Tensor], gradients: list[Tensor]) -> None:
        self.jax, self.found = jax, (ends, gradients)

    def derive(self) -> tuple[list[Tensor], list[Tensor]]:
        return self.found

    def time(self, repeats: int) -> float:
        return float(self.jax.ask(repeats=repeats)["seconds"])
