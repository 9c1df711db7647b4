"""`check_stream`: does a stream of windows keep its contract?

Knows windows and the two state methods; must not know any loader, so that anybody's stream can be checked.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch

from bptt.testing.expect import expect
from bptt.types import Window

FIELDS = tuple(field.name for field in dataclasses.fields(Window))


class Stream(Protocol):
    """What training asks of a stream: epochs of windows, and its place among them as a value."""

    def __iter__(self) -> Iterator[Window]:
        """The next epoch, or the rest of one after `load_state_dict`."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, as plain JSON."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Stand there again."""
        ...


def check_stream(factory: Callable[[], Stream], *, next_input: bool = True) -> None:
    """Check the contract of a stream on two epochs of it; ContractError says where it is broken.

    factory     makes the stream anew, every time equal; a short one, because a resume is tried after every window
    next_input  whether a target is the input of the next step, as it is for text

    Checked: windows are `Window`s [B, T, …] of one B, with bool resets and masks and int64 noise; every row resets at the
    first step of an epoch; a row that does not reset goes on where it stopped, within a window and from one to the next; two
    streams of one factory agree bit for bit; a state taken after any window survives JSON and continues with exactly the
    windows that are not handed out, into the next epoch.

    >>> import numpy, bptt.data
    >>> check_stream(lambda: bptt.data.TextStream(numpy.arange(50), batch_size=2, steps=4))
    """
    stream = factory()
    first, second = list(stream), list(stream)
    for epoch in (first, second):
        check_shapes(epoch)
        check_resets(epoch, next_input)
    check_resume(factory, first, second)


def check_shapes(windows: list[Window]) -> None:
    """Every window has B rows like the first, a step at least, and fields of the right type."""
    _expect(bool(windows), "An epoch has no windows", "0 windows")
    for number, window in enumerate(windows):
        shape = tuple(window.inputs.shape[:2])
        _expect(window.batch_size == windows[0].batch_size, "The number of rows changes", f"window {number}: {shape}")
        _expect(window.steps > 0, "A window has no steps", f"window {number}")
        for name, dtype in (("reset", torch.bool), ("mask", torch.bool), ("noise", torch.int64)):
            value = getattr(window, name)
            found = f"window {number}: {tuple(value.shape)} {value.dtype}"
            _expect(tuple(value.shape) == shape and value.dtype == dtype, f"{name} is not {shape} {dtype}", found)
        _expect(tuple(window.targets.shape[:2]) == shape, "Targets are not [B, T, …]", f"window {number}")


def check_resets(windows: list[Window], next_input: bool) -> None:
    """Every row begins with a reset, and goes on where it stopped unless it resets."""
    _expect(bool(windows[0].reset[:, 0].all()), "Not every row resets at the first step of an epoch", "reset[:, 0]")
    if not next_input:
        return
    epoch = Window.cat(*windows)
    goes_on = ~epoch.reset[:, 1:]
    broken = (goes_on & (epoch.inputs[:, 1:] != epoch.targets[:, :-1])).nonzero().tolist()
    where = f"row {broken[0][0]}, step {broken[0][1] + 1} of the epoch" if broken else ""
    _expect(not broken, "A row does not go on with the token that was its last target, and does not reset", where)


def check_resume(factory: Callable[[], Stream], first: list[Window], second: list[Window]) -> None:
    """After every window, and before the first, the state continues with exactly what is left."""
    running, stands = factory(), [json.dumps(factory().state_dict())]
    for number, window in enumerate(running):
        _expect(number < len(first) and same(window, first[number]), "Two equal streams differ", f"window {number}")
        stands.append(json.dumps(running.state_dict()))
    for handed, state in enumerate(stands):
        resumed = factory()
        resumed.load_state_dict(json.loads(state))
        rest = list(itertools.chain(resumed, resumed)) if handed < len(first) else list(resumed)
        wanted = first[handed:] + second
        _expect(len(rest) == len(wanted), "A resumed stream has another length", f"after {handed}: {len(rest)}, {len(wanted)}")
        for number, (ours, theirs) in enumerate(zip(rest, wanted, strict=True)):
            _expect(same(ours, theirs), "A resumed stream differs", f"after {handed} windows, window {handed + number}")


def same(a: Window, b: Window) -> bool:
    """Bit for bit."""
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in FIELDS)


def _expect(kept: bool, wrong: str, given: str) -> None:
    expect(kept, wrong, given, "check_stream")
