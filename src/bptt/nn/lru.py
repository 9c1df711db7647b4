"""LRU: the linear recurrent unit, a bank of damped oscillators that inputs set swinging.

Knows its parametrisation; must not know how the recurrence is run.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bptt.errors import InputError
from bptt.kernels.elman.reference import activation
from bptt.nn.diagonal import Diagonal, Units
from bptt.nn.sizes import at_least, widths
from bptt.structure import OUTPUT, Structure


class LRU(Diagonal):
    """Linear recurrent unit: a recurrence over complex numbers with a diagonal matrix that cannot explode.

        h_t = λ ∘ h_{t−1} + exp(γ) ∘ (B x_t),   λ = exp(−exp(ν) + iθ),   y_t = φ(Re(C h_t) + D x_t)

    λ, B, C and h are complex, the rest is real. |λ| < 1 whatever ν, so every unit is a damped oscillation: it turns by θ and
    shrinks by exp(−exp(ν)) a step. γ starts at ½ log(1 − |λ|²), which makes every unit as large as its input for white noise.
    The recurrence is linear and each unit's own, so a stretch is one scan over time instead of T products one after another.

    input_size   I
    hidden_size  H, the size of the output of every layer
    num_layers   layers on top of each other
    state_size   N complex numbers per layer; None: as hidden_size
    nonlinearity φ: "identity", "tanh" or "relu". Without one a stack of layers is as linear as one of them
    radius       (r₁, r₂): the first |λ| are uniform over the area between two circles
    phase        the first θ are uniform from 0 to this angle
    dropout (between the layers, masks from `noise`), device, dtype    as in the recurrent layers

    A complex number is a pair on the last axis, real and imaginary: the state is a tuple of [B, N, 2] per layer, zeros at
    first. Parameters of `layers[l]`: nu, theta, gamma [N], input [N, 2, I] (B), output [H, N, 2] (C), skip [H, I] (D).
    `forward` is documented at `Layer`. Raises InputError for sizes and circles that cannot be.

    >>> layer = LRU(3, 5, num_layers=2, nonlinearity="tanh")
    >>> y, state = layer(torch.randn(2, 7, 3))
    >>> y.shape, [leaf.shape for leaf in state]
    (torch.Size([2, 7, 5]), [torch.Size([2, 5, 2]), torch.Size([2, 5, 2])])

    Source: Orvieto, Smith, Gu, Fernando, Gulcehre, Pascanu, De 2023, Resurrecting recurrent neural networks for long sequences,
    sections 3.2 to 3.4 and appendix A; the layer alone, without the normalisation, gate and residual around it.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        state_size: int | None = None,
        nonlinearity: str = "identity",
        radius: tuple[float, float] = (0.0, 1.0),
        phase: float = 2 * math.pi,
        dropout: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        sizes = widths(input_size, hidden_size, num_layers)
        states = hidden_size if state_size is None else at_least(1, "state_size", state_size)
        activation(nonlinearity)
        if not 0 <= radius[0] < radius[1] <= 1:
            raise InputError(
                "The circles of the first |λ| are not nested in the unit circle", f"radius={radius}", "Give (0.9, 0.999)"
            )
        extra: Any = {"device": device, "dtype": dtype}
        units: list[Units] = [Oscillators(below, above, states, nonlinearity, **extra) for below, above in sizes]
        super().__init__(input_size, units, dropout)
        self.nonlinearity, self.radius, self.phase = nonlinearity, tuple(radius), phase
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the first values anew."""
        layers: Any = self.layers
        for each in layers:
            each.draw(*self.radius, self.phase)

    def extra_repr(self) -> str:
        return f"nonlinearity={self.nonlinearity}, radius={self.radius}, phase={self.phase:.4g}"


class Oscillators(Units):
    """One layer of an LRU."""

    pairs = True

    def __init__(self, inputs: int, outputs: int, states: int, nonlinearity: str, **extra: Any) -> None:
        super().__init__()
        self.activation = activation(nonlinearity)
        self.nu, self.theta, self.gamma = (nn.Parameter(torch.empty(states, **extra)) for _ in range(3))
        self.input = nn.Parameter(torch.empty(states, 2, inputs, **extra))
        self.output = nn.Parameter(torch.empty(outputs, states, 2, **extra))
        self.skip = nn.Parameter(torch.empty(outputs, inputs, **extra))

    @torch.no_grad()
    def draw(self, inner: float, outer: float, phase: float) -> None:
        """|λ|² uniform between inner² and outer², θ between 0 and `phase`; matrices that keep the size of white noise."""
        area = torch.rand_like(self.nu) * (outer**2 - inner**2) + inner**2
        squared = area.clamp(1e-6, 1 - 1e-6)  # neither gone in a step nor kept for ever
        self.nu.copy_((-squared.log() / 2).log())
        self.theta.uniform_(0, phase)
        self.gamma.copy_(torch.log1p(-squared) / 2)
        self.input.normal_(0, (2 * self.input.shape[2]) ** -0.5)
        self.output.normal_(0, len(self.nu) ** -0.5)
        self.skip.normal_(0, self.skip.shape[1] ** -0.5)

    def coefficients(self, x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        size = torch.exp(-self.nu.exp())
        turn = torch.stack([size * self.theta.cos(), size * self.theta.sin()], -1)
        # exp(γ) on B and not on B x: N I numbers instead of B T N.
        scaled = self.gamma.exp().view(-1, 1, 1) * self.input
        added = functional.linear(x, scaled.flatten(0, 1)).to(dtype)
        return turn.view(1, 1, *turn.shape), added.unflatten(-1, (-1, 2))

    def read(self, h: Tensor, x: Tensor) -> Tensor:
        # Re(C h) = C_re h_re − C_im h_im
        signed = self.output * self.output.new_tensor([1.0, -1.0])
        return self.activation(functional.linear(h.flatten(-2), signed.flatten(-2)) + functional.linear(x, self.skip))

    def zeros(self, rows: int) -> Tensor:
        return self.nu.new_zeros(rows, len(self.nu), 2)

    def structure(self) -> Structure | None:
        units = torch.arange(len(self.nu))
        own = {"nu": units, "theta": units, "gamma": units, "input": units.view(-1, 1, 1).expand(self.input.shape)}
        aside = {name: torch.full(getattr(self, name).shape, OUTPUT) for name in ("output", "skip")}
        held = self._parameters
        return Structure(units.repeat_interleave(2), {name: moves for name, moves in (own | aside).items() if name in held})
