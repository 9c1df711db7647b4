"""check_stream passes our streams and catches each kind of breach."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from bptt.data import TextStream, whole
from bptt.errors import ContractError
from bptt.testing.streams import check_stream
from bptt.types import Window


@pytest.mark.parametrize("sampling", ["sequential", "random", "shuffled"])
@pytest.mark.parametrize(("rows", "steps"), [(1, 5), (3, 4), (7, 9), (50, 3)])
def test_ours_keep_it(sampling: str, rows: int, steps: int) -> None:
    def factory() -> TextStream:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return TextStream(np.arange(83, dtype=np.uint8), rows, steps, sampling, seed=2)

    check_stream(factory)


def test_blocks_and_evaluation_keep_it() -> None:
    check_stream(lambda: TextStream(np.arange(83), 2, 4, "shuffled", block=11, seed=1, drop_last=False))
    check_stream(lambda: whole(np.arange(83), 9))


class Spoilt(TextStream):
    """A stream with one thing wrong."""

    def __init__(self, spoil: Callable[[int, Window], Window]) -> None:
        super().__init__(np.arange(83), 3, 5, seed=1)
        self.spoil = spoil

    def window(self, number: int) -> Window:
        return self.spoil(number, super().window(number))


def change(**fields: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[int, Window], Window]:
    def spoil(number: int, window: Window) -> Window:
        return dataclasses.replace(window, **{name: make(getattr(window, name)) for name, make in fields.items()})

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (change(targets=lambda value: value + 1), "last target"),
        (change(reset=torch.zeros_like), "first step"),
        (change(noise=lambda value: value.int()), "noise"),
        (change(mask=lambda value: value[:, :-1]), "mask"),
        (change(noise=lambda value: torch.randint(0, 2**60, value.shape)), "differ"),
        (lambda number, window: window[number % 2 :, :], "rows"),
        (lambda number, window: window[:, :0], "no steps"),
        (lambda number, window: window[:, 1:] if number == 1 else window, "last target"),
    ],
)
def test_a_breach_is_caught(spoil: Callable[[int, Window], Window], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        check_stream(lambda: Spoilt(spoil))


class Forgetful(TextStream):
    """A stream whose state is always one window behind."""

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "handed": max(0, self.handed - 1)}


class Hidden(TextStream):
    """A stream that leaves out its last window after a resume."""

    def _rest(self) -> Iterator[Window]:
        windows = list(super()._rest())
        yield from windows[: len(windows) - (self.epoch == 0 and len(windows) < len(self))]


@pytest.mark.parametrize("broken", [Forgetful, Hidden])
def test_a_broken_resume_is_caught(broken: type[TextStream]) -> None:
    with pytest.raises(ContractError):
        check_stream(lambda: broken(np.arange(83), 3, 5, seed=1))
