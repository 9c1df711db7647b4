"""Random layers for the compiled kernels, and the comparison with the readable ones: outputs and every gradient."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import torch
from torch import Tensor

from bptt.kernels import choose, readable
from bptt.kernels.library import loaded

GATES = {"tanh": 1, "relu": 1, "identity": 1, "lstm": 4, "gru": 3}
SIZES = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 129]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to compare; every field is drawn by `drawn`."""

    cell: str
    steps: int = 7
    rows: int = 3
    units: int = 5
    inputs: int = 4
    dtype: torch.dtype = torch.float64
    masks: bool = True
    initial: bool = False
    bias: bool = True
    memory: str = "gates"
    ids: bool = False
    threads: int = 2
    split: int = -1
    seed: int = 0

    @classmethod
    def drawn(cls, seed: int) -> Plan:
        """Sizes around the edges of tiles and vectors, everything else at random."""
        draw = random.Random(seed)
        return cls(
            draw.choice(list(GATES)),
            draw.choice([1, 2, 3, 5, 7, 17, 40]),
            draw.choice([1, 2, 3, 4, 5, 6, 7, 9, 13, 16, 17, 33]),
            draw.choice(SIZES) if seed % 16 else draw.choice([257, 300, 520]),
            draw.choice([1, 2, 5, 8, 33]),
            draw.choice([torch.float32, torch.float64]),
            *(draw.random() < 0.6 for _ in range(3)),
            draw.choice(["gates", "lean"]),
            draw.random() < 0.3,
            draw.choice([1, 2, 3]),
            draw.choice([-1, 0, 1]),
            seed,
        )

    @property
    def kind(self) -> str:
        return self.cell if GATES[self.cell] > 1 else "elman"

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a kernel, random, with non-zero states."""
        torch.manual_seed(self.seed)
        gates, scale, pair = GATES[self.cell], self.units**-0.5, self.cell == "lstm"

        def state() -> Any:
            leaves = [random_leaf(self.rows, self.units, dtype=self.dtype) for _ in range(1 + pair)]
            return tuple(leaves) if pair else leaves[0]

        x = (
            torch.randint(self.inputs, (self.rows, self.steps))
            if self.ids
            else random_leaf(self.rows, self.steps, self.inputs, dtype=self.dtype)
        )
        weights = [random_leaf(gates * self.units, n, dtype=self.dtype, scale=scale) for n in (self.inputs, self.units)]
        biases = [random_leaf(gates * self.units, dtype=self.dtype) if self.bias else None for _ in range(2)]
        named: dict[str, Any] = {"nonlinearity": self.cell} if self.kind == "elman" else {}
        if self.masks:
            shape = self.rows, self.steps
            weight = torch.rand(shape, dtype=self.dtype) * 2
            named["edge"] = weight.masked_fill(torch.rand(shape) < 0.3, 0)
            named["reset"] = torch.rand(shape) < 0.3
            named["lengths"] = torch.randint(self.steps + 1, (self.rows,))
        if self.initial:
            named["initial"] = state()
        return [x, state(), *weights, *biases], named

    def compare(self) -> None:
        """The fused layer against the readable one: identities in double, rounding in single."""
        library, before = loaded(), torch.get_num_threads()
        library.split = self.split
        torch.set_num_threads(self.threads)
        try:
            arguments, named = self.arguments()
            kernel = choose(self.kind, "cpu", self.dtype)
            assert kernel.name == "fused"
            calls = library.calls
            found = results(kernel.function(*arguments, memory=self.memory, **named), arguments, named)
            assert library.calls > calls or not self.rows * self.steps
            with readable():
                expected = results(choose(self.kind, "cpu", self.dtype).function(*arguments, **named), arguments, named)
        finally:
            library.split = -1
            torch.set_num_threads(before)
        for name, value in expected.items():
            bound = 1e-12 if self.dtype == torch.float64 else 1e-4 if name.startswith("grad") else 1e-5
            assert distance(found[name], value) <= bound, (name, distance(found[name], value), self)


def random_leaf(*shape: int, dtype: torch.dtype, scale: float = 1.0) -> Tensor:
    return (torch.randn(shape, dtype=dtype) * scale).requires_grad_()


def tensors(value: Any) -> list[Tensor]:
    """Every tensor of arguments, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in tensors(item)]
    return [leaf for item in value for leaf in tensors(item)] if isinstance(value, list | tuple) else []


def results(ends: Any, *arguments: Any) -> dict[str, Tensor]:
    """Outputs, last states and the gradient of a random weighting of them with respect to every argument."""
    outputs, generator = tensors(ends), torch.Generator().manual_seed(7)
    wanted = [leaf for leaf in tensors(list(arguments)) if leaf.requires_grad]
    pulls = [torch.randn(out.shape, dtype=out.dtype, generator=generator) for out in outputs]
    # Without any step the readable outputs depend on nothing.
    value = sum((out * pull).sum() for out, pull in zip(outputs, pulls, strict=True)) + 0 * sum(leaf.sum() for leaf in wanted)
    grads = torch.autograd.grad(value, wanted)
    named = {f"output {i}": out.detach() for i, out in enumerate(outputs)}
    return named | {f"grad {i} {tuple(leaf.shape)}": grad for i, (leaf, grad) in enumerate(zip(wanted, grads, strict=True))}


def distance(a: Tensor, b: Tensor) -> float:
    """Largest difference, relative where numbers are large. A NaN is infinitely far."""
    assert a.shape == b.shape and a.dtype == b.dtype
    if not a.numel():
        return 0.0
    return float(((a - b).abs().max() / b.abs().max().clamp(min=1)).nan_to_num(torch.inf))
