"""What models share: encode → recurrent → readout, from vectors to outputs.

Knows the recurrent part, the readout and the state; must not know what is encoded, or what an output means.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from bptt.errors import ContractError
from bptt.models.unroll import Unroll
from bptt.types import State


class RecurrentModel(nn.Module):
    """Base of the models. A subclass makes `recurrent` and `readout`, and ends its making with `hold`."""

    recurrent: Any
    readout: Any

    def hold(self, unrolled: Unroll, refusal: str) -> None:
        """Keep the unrolled form that steps are taken with; ContractError, beginning with `refusal`, if it looks ahead."""
        if not unrolled.causal:
            raise ContractError(refusal, "a bidirectional layer", "Use one direction")
        self._unrolled = (unrolled,)  # in a tuple: not a second set of parameters

    def initial_state(self, batch_size: int) -> State:
        """The state before the first step."""
        return self._unrolled[0].initial_state(batch_size)

    def through(self, vectors: Tensor, state: State) -> tuple[Tensor, State]:
        """What the recurrent part reads, [B, T, I] → outputs [B, T, O], and the state after the last step; None: the first."""
        state = self.initial_state(vectors.shape[0]) if state is None else state
        hidden, state = self._unrolled[0].recurrent(vectors, state)
        return self.readout(hidden), state
