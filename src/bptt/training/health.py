"""Nothing that is not finite passes: the first bad tensor is named, before it can reach an update or a file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from bptt.errors import DivergedError
from bptt.training.pack import pack
from bptt.types import Carry, Window


def finite(value: Tensor) -> bool:
    """True if no entry is NaN or infinite."""
    return not value.is_floating_point() or bool(torch.isfinite(value).all())


def first_bad(named: Iterable[tuple[str, Tensor]]) -> str | None:
    """The name of the first tensor with an entry that is not finite."""
    return next((name for name, value in named if not finite(value)), None)


def check_estimate(unroll: nn.Module, window: Window, carry: Carry, loss: float, norm: float | None, step: int) -> None:
    """DivergedError, naming the first bad tensor, if loss, gradient norm or anything carried on is not finite.

    norm: of the gradient; None if there is nothing to spend yet.
    """
    carried = [*named_tensors("the state", carry.state), *named_tensors("the strategy's memory", carry.memory)]
    if math.isfinite(loss) and (norm is None or math.isfinite(norm)) and first_bad(carried) is None:
        return
    # The cause before its effects: inputs and weights first, then what was computed from them.
    candidates = [
        ("the window's inputs", window.inputs),
        ("the window's targets", window.targets),
        *((f"parameter {name}", value.detach()) for name, value in unroll.named_parameters()),
        *carried,
        *((f"the gradient of {name}", p.grad) for name, p in unroll.named_parameters() if p.grad is not None),
    ]
    bad = first_bad(candidates) or "the loss"
    raise DivergedError(
        f"Training met a number that is not finite at update {step}",
        f"first in {bad}; loss {loss}, gradient norm {norm}",
        "Lower the learning rate, clip the gradient, or check the data; the last checkpoint is from before it",
    )


def check_saved(named: Iterable[tuple[str, Tensor]], step: int) -> None:
    """DivergedError if a tensor that is about to be saved is not finite."""
    bad = first_bad(named)
    if bad is not None:
        raise DivergedError(
            f"{bad} is not finite at update {step}", "NaN or infinity", "Not saved: the last checkpoint is from before it"
        )


def named_tensors(prefix: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    """The tensors inside a nest."""
    for name, tensor in pack(value)[0].items():
        yield f"{prefix} ({name})", tensor
