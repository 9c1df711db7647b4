"""What RNN, LSTM and GRU share: torch's constructor, parameters, checks and signature around our own recurrences.

Knows torch's conventions ([layers·directions, B, H] states, `batch_first`, packed sequences); must not know any gate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from bptt import nest
from bptt.kernels import choose
from bptt.kernels.fused import FEW
from bptt.kernels.observers import captured
from bptt.nn import directions
from bptt.nn.dropout import dropout
from bptt.nn.local import local
from bptt.nn.lookup import Lookup
from bptt.nn.masks import Masks
from bptt.types import Local, State

Run = Callable[[Any, int], tuple[Tensor, Any]]


class Layered(nn.RNNBase):
    """Base of the drop-in modules. Parameters, their names, layout, order and first values are those of torch.

    The attribute `memory` says what a compiled layer keeps for its backward pass: "gates": states and gates; "lean": the states
    alone, gates are computed again; "auto", the default: gates while they are small (`bptt.kernels.operators.KEPT_AT_MOST`).
    """

    cell: str
    leaves = 1
    memory = "auto"
    weight_hh_l0: Tensor

    @property
    def causal(self) -> bool:
        """True if no output depends on a later input."""
        return not self.bidirectional

    def flatten_parameters(self) -> None:
        """Nothing to do: the kernels read the parameters where they lie, so no stale copy can exist."""

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: State = None,
        *,
        reset: Tensor | None = None,
        edge: Tensor | None = None,
        lengths: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> tuple[Any, State]:
        """The layer over a whole sequence, with torch's arguments and results.

        input    [T, B, I], [B, T, I] with `batch_first`, [T, I], or a PackedSequence
        hx       [layers·directions, B, H] (LSTM: a pair), without B for an unbatched input; None: zeros
        reset    [B, T] bool: the row starts anew, from zeros, at this step, in every layer
        edge     [B, T] float: factor on the gradient of every state leaf of every layer on entering this step
        lengths  [B]: rows that have ended keep their state, put out zeros and get no gradient
        noise    [B, T] int64: the seed of the dropout masks between the layers; None: drawn afresh

        Whatever `batch_first`, the masks are [B, T]. In a bidirectional layer a mark at t belongs to the border between the
        steps t−1 and t, so a reset splits the sequence for both directions. Returns (output, last states) laid out as torch
        does. Raises what torch raises for a wrong input or state, ShapeError for a wrong mask.
        """
        if isinstance(input, PackedSequence):
            return self._packed(input, hx, Masks(reset, edge, lengths, noise))
        if hx is not None and reset is None and edge is None and lengths is None and not torch.is_grad_enabled():
            ends = self._single(input, hx)
            if ends is not None:
                return ends
        batched = self._check_dimensions(input, hx)
        if not batched:
            input = input.unsqueeze(0 if self.batch_first else 1)
            hx = nest.map(lambda leaf: leaf.unsqueeze(1), hx)
        if hx is None:
            self.check_input(input, None)
        else:
            self.check_forward_args(input, hx, None)
        x = input if self.batch_first else input.transpose(0, 1)
        y, state = self.layers(x, hx, Masks(reset, edge, lengths, noise).checked(x))
        y = y if self.batch_first else y.transpose(0, 1).contiguous()
        if batched:
            return y, state
        return y.squeeze(0 if self.batch_first else 1), nest.map(lambda leaf: leaf.squeeze(1), state)

    def _single(self, input: Tensor, hx: State) -> tuple[Tensor, State] | None:
        """One step of few rows, as generation takes it, by the shortest way; None where that does not lead."""
        if self.bidirectional or input.dim() != 3:
            return None
        steps, rows = (input.shape[1], input.shape[0]) if self.batch_first else input.shape[:2]
        if steps != 1 or not 0 < rows <= FEW:
            return None
        kernel = choose(self.cell, input.device, input.dtype)
        if kernel.step is None or (self.training and self.dropout and self.num_layers > 1) or captured():
            return None
        weights = [self._parameters.get(name) for name in self._flat_weights_names]
        leaves = hx if self.leaves == 2 else (hx,)
        shape = (self.num_layers, rows, self.hidden_size)
        if input.shape[2] != self.input_size or any(leaf.shape != shape for leaf in leaves):
            return None
        if any(t is None or t.dtype != input.dtype or not (t.is_contiguous() and t.is_cpu) for t in (*weights, *leaves, input)):
            return None
        y, ends, each = input, [], 4 if self.bias else 2
        for layer in range(self.num_layers):
            h, *c = leaves if self.num_layers == 1 else [leaf[layer] for leaf in leaves]
            y, *end = kernel.step(self._kind(), rows, y, h, c[0] if c else None, *weights[:each])
            weights = weights[each:]
            ends.append(end)
        last = ends[0] if self.num_layers == 1 else [torch.cat(leaf) for leaf in zip(*ends, strict=True)]
        return y.transpose(0, 1) if self.batch_first else y, last[0] if self.leaves == 1 else tuple(last)

    def _kind(self) -> str:
        """What the compiled kernels call this cell."""
        return self.cell

    def _packed(self, packed: PackedSequence, hx: State, masks: Masks) -> tuple[PackedSequence, State]:
        """Run a packed sequence as a padded one in its own, sorted order."""
        data, sizes, order, back = packed
        if hx is None:
            self.check_input(data, sizes)
        else:
            self.check_forward_args(data, hx, sizes)
        x, lengths = pad_packed_sequence(PackedSequence(data, sizes), batch_first=True)
        sort = (lambda leaf: leaf) if order is None else (lambda leaf: leaf.index_select(1, order))
        unsort = (lambda leaf: leaf) if back is None else (lambda leaf: leaf.index_select(1, back))
        masks = masks.packed(lengths.to(data.device), order).checked(x)
        y, state = self.layers(x, nest.map(sort, hx), masks)
        data = pack_padded_sequence(y, lengths, batch_first=True).data
        return PackedSequence(data, sizes, order, back), nest.map(unsort, state)

    def layers(self, x: Tensor | Lookup, hx: State, masks: Masks) -> tuple[Tensor, State]:
        """x [B, T, I] through all layers: outputs [B, T, directions·H] and states [layers·directions, B, H]."""
        starts = self._states(x.shape[0], hx)
        y, ends = self._climb(x, masks, lambda y, layer: self._layer(y, layer, starts, masks))
        return y, _gather([end for each in ends for end in each])

    def states(self, x: Tensor | Lookup, hx: State, masks: Masks) -> list[State] | None:
        """Of every layer, the states before every step, leaves [B, T, H]; None where no kernel hands them out at once."""
        weight = self.weight_hh_l0
        trace = choose(self.cell, weight.device.type, weight.dtype).trace
        if trace is None or self.bidirectional or captured():
            return None
        starts, extra = self._states(x.shape[0], hx), self._extra()

        def run(y: Tensor | Lookup, layer: int) -> tuple[Tensor, State]:
            return recur(trace, y, starts[layer], *self._weights(f"l{layer}"), masks=masks, **extra)

        return self._climb(x, masks, run)[1]

    def local(self, x: Tensor, hx: State, noise: Tensor | None) -> tuple[list[tuple[Tensor, Local]], State]:
        """One step x [B, 1, I] of every layer: its output [B, 1, H] and what goes on inside it; and the states after it."""
        starts, extra = self._states(x.shape[0], hx), self._extra()

        def run(y: Any, layer: int) -> tuple[Tensor, Any]:
            out, ends = self._layer(y, layer, starts, Masks())
            return out, ((out, local(self.cell, y[:, 0], starts[layer], *self._weights(f"l{layer}"), **extra)), *ends)

        parts, ends = zip(*self._climb(x, Masks(noise=noise), run)[1], strict=True)
        return list(parts), _gather(list(ends))

    def _climb(self, x: Tensor | Lookup, masks: Masks, run: Run) -> tuple[Tensor, list[Any]]:
        """x through `run(y, layer) -> (y, found)` of every layer, dropout in between: the last y, and all that was found."""
        y, found = run(masks.silence(x), 0)
        every = [found]
        for layer in range(1, self.num_layers):
            if self.training:
                y = dropout(y, self.dropout, masks.noise, layer - 1)
            y, found = run(y, layer)
            every.append(found)
        return y, every

    def _weights(self, suffix: str) -> list[Tensor]:
        """The parameters of one direction of one layer, in the order of a kernel's arguments."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh") if self.bias else ("weight_ih", "weight_hh")
        return [getattr(self, f"{name}_{suffix}") for name in names]

    def _layer(self, x: Tensor | Lookup, layer: int, states: list[State], masks: Masks) -> tuple[Tensor, list[State]]:
        """One layer, all its directions."""
        if not self.bidirectional:
            y, state = self._direction(x, f"l{layer}", states[layer], masks)
            return y, [state]
        x = x.dense() if isinstance(x, Lookup) else x
        y, state = self._direction(x, f"l{layer}", states[2 * layer], masks)
        back = directions.reverse(x, masks.lengths)
        z, last = self._direction(back, f"l{layer}_reverse", states[2 * layer + 1], masks.reversed())
        z = directions.reverse(z, masks.lengths)
        return torch.cat([y.transpose(0, 1), z.transpose(0, 1)], -1).transpose(0, 1), [state, last]

    def _direction(self, x: Tensor | Lookup, suffix: str, state: State, masks: Masks) -> tuple[Tensor, State]:
        """One direction of one layer."""
        weights = self._weights(suffix)
        kernel = choose(self.cell, weights[1].device.type, weights[1].dtype)
        return recur(kernel.function, x, state, *weights, masks=masks, **self._extra())

    def _extra(self) -> dict[str, Any]:
        """Further arguments of the kernel."""
        return {"memory": self.memory}

    def _states(self, batch_size: int, hx: State) -> list[State]:
        """The state of every layer and direction."""
        count = self.num_layers * (2 if self.bidirectional else 1)
        if hx is None:
            weight = self.weight_hh_l0
            zeros = torch.zeros(batch_size, self.hidden_size, dtype=weight.dtype, device=weight.device)
            return [zeros if self.leaves == 1 else (zeros,) * self.leaves] * count
        if self.leaves == 1:
            return list(hx.unbind(0))
        return list(zip(*(leaf.unbind(0) for leaf in hx), strict=True))

    def _check_dimensions(self, input: Tensor, hx: State) -> bool:
        """Whether the input has a batch; torch's errors for a wrong number of dimensions."""
        if input.dim() not in (2, 3):
            raise ValueError(f"{self._get_name()}: Expected input to be 2D or 3D, got {input.dim()}D tensor instead")
        batched = input.dim() == 3
        if any(leaf.dim() != input.dim() for leaf in nest.leaves(hx)):
            raise RuntimeError(self._wrong_state(batched, hx))
        return batched

    def _wrong_state(self, batched: bool, hx: State) -> str:
        kind, dim = ("batched 3-D", 3) if batched else ("unbatched 2-D", 2)
        return f"For {kind} input, hx should also be {dim}-D but got {hx.dim()}-D tensor"


def recur(
    run: Callable[..., Any],
    x: Tensor | Lookup,
    state: State,
    weight_ih: Tensor,
    *weights: Tensor | None,
    masks: Masks,
    **extra: Any,
) -> tuple[Tensor, State]:
    """One direction of one layer by a function of a `Kernel`."""
    if isinstance(x, Lookup):
        x, weight_ih = x.projected(weight_ih)
    reset, edge, lengths, _ = masks
    return run(x, state, weight_ih, *weights, reset=reset, edge=edge, lengths=lengths, **extra)


def _gather(states: list[State]) -> State:
    """The states of all layers as leaves [layers·directions, B, H]."""
    if isinstance(states[0], Tensor):
        return states[0].unsqueeze(0) if len(states) == 1 else torch.stack(states)
    if len(states) == 1:
        return tuple(leaf.unsqueeze(0) for leaf in states[0])
    return tuple(torch.stack(leaves) for leaves in zip(*states, strict=True))
