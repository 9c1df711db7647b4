"""Small problems on which contracts are checked: odd sizes, resets in the middle, masked losses, a state that is not zero.

Everything is float64 and seeded, so that identities can be asked to hold to rounding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bptt import nest
from bptt import nn as layers
from bptt.losses import cross_entropy
from bptt.models.unroll import Unroll
from bptt.types import State, Window

ROWS, STEPS, INPUTS, HIDDEN, CLASSES = 3, 29, 4, 5, 6


class NestedCell(nn.Module):
    """A cell such as a user may write: a nested state with an integer in it, a learned initial state, an output of its own.

    m' = (1 − ½d) m + ½ tanh(B h),  h' = tanh(A [x, h] + m'),  y = h' ∘ m',  d = 1 / (1 + n),  n' = n + 1
    """

    def __init__(self, inputs: int = INPUTS, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(inputs + hidden, hidden), nn.Linear(hidden, hidden)
        self.first = nn.Parameter(torch.randn(hidden) * 0.3)

    def initial_state(self, batch_size: int) -> State:
        zeros = self.a.weight.new_zeros(batch_size, len(self.first))
        count = torch.zeros(batch_size, dtype=torch.int64, device=zeros.device)
        return {"h": self.first.expand(batch_size, -1), "memory": (zeros, count)}

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, (m, n) = state["h"], state["memory"]
        m = (1 - 0.5 / (1 + n).to(h.dtype).unsqueeze(1)) * m + 0.5 * torch.tanh(self.b(h))
        h = torch.tanh(self.a(torch.cat([x, h], 1)) + m)
        return h * m, {"h": h, "memory": (m, n + 1)}


RECURRENT: dict[str, Callable[[], nn.Module]] = {
    "rnn": lambda: layers.RNN(INPUTS, HIDDEN),
    "rnn-relu": lambda: layers.RNN(INPUTS, HIDDEN, nonlinearity="relu"),
    "leaky": lambda: layers.LeakyRNN(INPUTS, HIDDEN, leak=0.3),
    "rnn-identity": lambda: layers.RNN(INPUTS, HIDDEN, nonlinearity="identity"),
    "lstm": lambda: layers.LSTM(INPUTS, HIDDEN),
    "gru": lambda: layers.GRU(INPUTS, HIDDEN, batch_first=True),
    "gru-deep-dropout": lambda: layers.GRU(INPUTS, HIDDEN, num_layers=2, dropout=0.3),
    "torch-lstm": lambda: nn.LSTM(INPUTS, HIDDEN),
    "torch-cell": lambda: nn.GRUCell(INPUTS, HIDDEN),
    "stack": lambda: layers.Stack(NestedCell(), nn.LSTMCell(HIDDEN, HIDDEN), dropout=0.2),
    "nested": NestedCell,
    "tdnn": lambda: layers.TDNN(INPUTS, HIDDEN, 2, 3, (1, 3), dropout=0.2),
    "lru": lambda: layers.LRU(INPUTS, HIDDEN, 2, 3, "tanh", dropout=0.2),
    "mingru": lambda: layers.MinGRU(INPUTS, HIDDEN, 2, dropout=0.2),
    "output-to-hidden": lambda: layers.OutputToHidden(INPUTS, 7, HIDDEN, feedback="softmax", dropout=0.2),
}


@dataclasses.dataclass(frozen=True)
class Problem:
    """An unrolled model, a window for it, and a state to start from that is not zero."""

    unroll: Unroll
    window: Window
    state: State


def problem(recurrent: str | nn.Module, *, steps: int = STEPS, seed: int = 0) -> Problem:
    """The problem of a recurrent part, by its name in RECURRENT, or of a module that reads INPUTS and gives HIDDEN numbers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = RECURRENT[recurrent]() if isinstance(recurrent, str) else recurrent
        encode, readout = layers.Dropout(0.1), nn.Linear(HIDDEN, CLASSES)
        unroll = Unroll(encode, module, readout, cross_entropy, per=ROWS * 7.0).double()
        window = Window.of(
            torch.randn(ROWS, steps, INPUTS, dtype=torch.float64),
            torch.randint(CLASSES, (ROWS, steps)),
            reset=torch.rand(ROWS, steps) < 0.06,
            mask=torch.rand(ROWS, steps) < 0.8,
        )
        first = nest.detach(unroll.initial_state(ROWS))
        state = nest.map(lambda leaf: leaf + 0.5 * torch.randn_like(leaf) if nest.is_float(leaf) else leaf + 2, first)
    return Problem(unroll, window, state)


def gradients(unroll: nn.Module) -> dict[str, Tensor]:
    """`.grad` by parameter name, zeros where there is none."""
    return {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in unroll.named_parameters()}


def exact(problem: Problem) -> dict[str, Tensor]:
    """The exact gradient of the window's loss sum ÷ per, by autograd through one segment."""
    unroll = problem.unroll
    loss, _ = unroll.segment(problem.window, problem.state)
    named = dict(unroll.named_parameters())
    found = torch.autograd.grad(loss / unroll.per, list(named.values()), allow_unused=True)
    return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(named.items(), found, strict=True)}


def distance(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """Largest relative difference over the parameter blocks: ‖a − b‖ / ‖b‖."""
    return max(float((a[name] - b[name]).norm() / b[name].norm().clamp_min(1e-300)) for name in b)


def norm(a: dict[str, Tensor]) -> float:
    """‖a‖ over all blocks."""
    return float(torch.cat([block.flatten() for block in a.values()]).norm())
