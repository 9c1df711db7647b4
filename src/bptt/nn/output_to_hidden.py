"""OutputToHidden: a recurrent network whose only memory is its previous output.

Knows the recurrence, teacher forcing and its parallel form; must not know windows, targets or losses.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bptt.errors import InputError, ShapeError, did_you_mean
from bptt.kernels.elman.reference import activation
from bptt.kernels.walk import walk
from bptt.nn.adapters import Layer
from bptt.nn.dropout import draw, probability
from bptt.nn.dropout import dropout as drop
from bptt.nn.forcing import drawn, forced
from bptt.nn.lookup import units
from bptt.nn.masks import Masks
from bptt.nn.sizes import at_least
from bptt.types import State

FEEDBACKS = ("identity", "softmax", "sample")


class OutputToHidden(Layer):
    """Recurrent network that reads its previous output, and not its previous hidden state.

        h_t = φ(W_ih v_t + W_oh u_t + b_h),   o_t = W_ho h_t + b_o
        u_t = y_{t−1}      where the step is forced: the true previous output
        u_t = g(o_{t−1})   where the layer runs free,   u_1 = the state

    The layer puts out o_t. Whatever a later step needs of the past must be in the output, so it is weaker than a network that
    hands on h_t: what o_t does not show is forgotten. In return, where every step is forced there is no chain through time, and
    all T steps are computed at once.

    input_size   I, of the external input v_t; may be 0
    hidden_size  H
    output_size  O
    nonlinearity φ: "tanh", "relu" or "identity"
    feedback     g: "identity"; "softmax", the distribution that the scores o_t mean; "sample", a one-hot draw from it, without
                 gradient, a pure function of the step's noise; in evaluation the likeliest
    teacher      whether the input holds y_{t−1}: then it is [v_t, y_{t−1}], of size I + O
    forcing      the probability that a step is forced while training. The attribute `forcing` may be set at any time, which is
                 scheduled sampling; `bptt.nn.scheduled` has the usual curves. The draw is a pure function of the step's noise.
    free_running whether no step is forced in evaluation; None: if forcing < 1. A layer that has only ever read the truth is
                 given it then too, and one that has learned to live with its own outputs reads those
    dropout      share of the hidden units dropped on the way to the output, in training; masks from `noise`

    The state is u [B, O], zeros at first: what the layer said last, as it would read it. `forward` is documented at `Layer`; a
    reset leaves y_{t−1} alone, which is an input. Raises InputError for settings that cannot be.

    >>> layer = OutputToHidden(3, 5, 2, teacher=True, forcing=1.0)
    >>> y, state = layer(torch.cat([torch.randn(4, 7, 3), torch.randn(4, 7, 2)], 2))
    >>> y.shape, state.shape
    (torch.Size([4, 7, 2]), torch.Size([4, 2]))

    Source: Goodfellow, Bengio, Courville 2016, Deep learning, section 10.2.1, the network and its teacher forcing; Bengio,
    Vinyals, Jaitly, Shazeer 2015, Scheduled sampling for sequence prediction with recurrent neural networks.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        *,
        nonlinearity: str = "tanh",
        feedback: str = "identity",
        teacher: bool = False,
        forcing: float = 0.0,
        free_running: bool | None = None,
        dropout: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.activation, self.nonlinearity = activation(nonlinearity), nonlinearity
        if feedback not in FEEDBACKS:
            raise InputError("There is no such feedback", repr(feedback), did_you_mean(str(feedback), list(FEEDBACKS)))
        if forcing and not teacher:
            raise InputError(
                "A step can only be forced with the true output", f"forcing={forcing}, no teacher", "Give teacher=True"
            )
        self.input_size, self.hidden_size = at_least(0, "input_size", input_size), at_least(1, "hidden_size", hidden_size)
        self.output_size = at_least(1, "output_size", output_size)
        self.feedback, self.teacher, self.forcing, self.dropout = feedback, teacher, _share(forcing), probability(dropout)
        self.free_running = forcing < 1 if free_running is None else free_running
        extra: Any = {"device": device, "dtype": dtype}
        self.inputs = nn.Linear(input_size, hidden_size, bias=False, **extra) if input_size else None
        self.recurrence = nn.Linear(output_size, hidden_size, **extra)
        self.output = nn.Linear(hidden_size, output_size, **extra)

    def initial_state(self, batch_size: int) -> State:
        return self.output.weight.new_zeros(batch_size, self.output_size)

    def run(self, x: Tensor, state: State, masks: Masks) -> tuple[Tensor, State]:
        external, truth = self._split(x)
        share = self.forcing if self.training else float(self.teacher and not self.free_running)
        if masks.noise is None and self._draws(share):
            masks = masks._replace(noise=draw(x.shape[:2], x.device))
        if truth is not None and share == 1:
            return self._parallel(external, truth, state, masks)
        given = self.recurrence(truth) if truth is not None and share else None
        step = Step(self, external, given, masks.noise, share)
        return walk(step, range(x.shape[1]), state, reset=masks.reset, edge=masks.edge, lengths=masks.lengths)

    def _draws(self, share: float) -> bool:
        """Whether noise decides anything when a step is forced with probability `share`."""
        return self.training and (self.feedback == "sample" or 0 < share < 1 or self.dropout > 0)

    def _split(self, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The external inputs after their weights [B, T, H], and the true previous outputs [B, T, O], if there are such."""
        wanted = self.input_size + self.teacher * self.output_size
        if x.shape[2] != wanted:
            parts = f"{self.input_size} inputs" + f" and {self.output_size} previous outputs" * self.teacher
            raise ShapeError("The inputs do not fit the layer", f"{x.shape[2]} numbers a step", f"Give {wanted}: {parts}")
        external = None if self.inputs is None else self.inputs(x[..., : self.input_size])
        return external, x[..., self.input_size :] if self.teacher else None

    def _parallel(self, external: Tensor | None, truth: Tensor, state: State, masks: Masks) -> tuple[Tensor, State]:
        """Every step forced: no step waits for another."""
        read, noise = self.recurrence(truth), masks.noise
        y = masks.silence(self.said(read if external is None else read + external, noise))
        if not y.shape[1]:
            return y, state
        if masks.lengths is None:
            return y, self.fed_back(y[:, -1], None if noise is None else noise[:, -1])
        rows, last = torch.arange(len(y), device=y.device), masks.lengths.clamp_min(1) - 1
        end = self.fed_back(y[rows, last], None if noise is None else noise[rows, last])
        return y, torch.where(masks.lengths.unsqueeze(1) > 0, end, state)

    def said(self, read: Tensor, noise: Tensor | None) -> Tensor:
        """o [B, T, O] of what the hidden units read, [B, T, H]."""
        hidden = self.activation(read)
        return self.output(drop(hidden, self.dropout, noise) if self.training else hidden)

    def fed_back(self, output: Tensor, noise: Tensor | None = None) -> Tensor:
        """g(o) [B, O] of o [B, O]: what the next step reads if it is not forced."""
        if self.feedback == "identity":
            return output
        if self.feedback == "softmax":
            return functional.softmax(output, -1)
        if self.training:
            return drawn(output, draw(output.shape[:1], output.device) if noise is None else noise)
        return units(output.argmax(-1), self.output_size, output.dtype)

    def extra_repr(self) -> str:
        return f"feedback={self.feedback}, teacher={self.teacher}, forcing={self.forcing}, free_running={self.free_running}"


class Step:
    """One step of a layer that runs free, or is forced at some steps.

    external [B, T, H], given [B, T, H]: what v_t and y_{t−1} give to the hidden units; noise [B, T]; each may be absent
    """

    def __init__(
        self, layer: OutputToHidden, external: Tensor | None, given: Tensor | None, noise: Tensor | None, share: float
    ) -> None:
        self.layer, self.external, self.given, self.noise = layer, external, given, noise
        self.forced = None if given is None or noise is None else forced(noise, share)

    def __call__(self, t: int, fed: Tensor) -> tuple[Tensor, Tensor]:
        """Step t, which reads `fed` [B, O] where it is not forced: o_t, and what the next one will read."""
        read = self.layer.recurrence(fed)
        if self.forced is not None and self.given is not None:
            read = torch.where(self.forced[:, t, None], self.given[:, t], read)
        read = read if self.external is None else read + self.external[:, t]
        noise = None if self.noise is None else self.noise[:, t]
        y = self.layer.said(read.unsqueeze(1), None if noise is None else noise.unsqueeze(1)).squeeze(1)
        return y, self.layer.fed_back(y, noise)


def _share(value: Any) -> float:
    """`value`, if it is a probability."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError("forcing must be a probability from 0 to 1", f"forcing={value!r}", "Give for example 0.5")
    return float(value)
