"""The processes of one training, each with some rows of every batch; and the plainest case of it, one process with all rows.

Knows what processes have to tell each other; must not know how it gets there (see `bptt.training.group`), nor what is trained.
Whoever may meet several processes asks a `Ranks`; with one process every answer is what was asked, at no cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn

from bptt.types import Carry, Estimate


class Ranks:
    """One process, with all rows of the batch.

    rank, size  the number of this process, from 0, and how many there are
    rows        the rows of the batch that this process has
    gpu         which GPU of its machine is this process's, as ":1"; of one process torch's choice
    """

    rank: int = 0
    size: int = 1
    rows: slice = slice(None)
    gpu: str = ""

    @property
    def first(self) -> bool:
        """True for the process that writes and speaks."""
        return self.rank == 0

    def over(self, batch_size: int) -> Ranks:
        """These processes with the rows of a batch spread over them; InputError if there are fewer rows than processes."""
        return self

    def draw(self, rows: int, make: Callable[[int], Tensor]) -> Tensor:
        """`make(B)` for all B rows of the batch, of which the `rows` rows of this process are handed out."""
        return make(rows)

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all processes."""
        return value

    def pooled(self, estimate: Estimate) -> Estimate:
        """The estimate with the losses of all rows in its sum and its count."""
        return estimate

    def add_up(self, parameters: Iterable[nn.Parameter]) -> None:
        """Put the sum of all processes' gradients into every `.grad`."""

    def largest(self, *values: int) -> tuple[int, ...]:
        """Of each value the largest that any process gives."""
        return values

    def alike(self, text: Callable[[], str]) -> bool:
        """True if the text is the same on every process."""
        return True

    def told(self, value: Any) -> Any:
        """The JSON value that the first process gives, on all of them."""
        return value

    def spread(self, tensors: Iterable[Tensor]) -> None:
        """Put the numbers of the first process's tensors into those of all others."""

    def gathered(self, value: Any) -> list[Any]:
        """The nests that the processes give, in their order, for the first process; nothing for the others."""
        return [value]

    def whole(self, parts: list[Carry]) -> Carry:
        """The carry of all rows, from those of the processes; ContractError for one that cannot be put together."""
        return parts[0]

    def part(self, carry: Carry) -> Carry:
        """What a carry of all rows holds for the rows of this process."""
        return carry


ALONE = Ranks()
