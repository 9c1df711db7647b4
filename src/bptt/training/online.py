"""Learn from data that arrives one step at a time: predict, then learn, for ever, in memory that does not grow.

Knows models, strategies by their contract, and updates; must not know streams, epochs or people. The parameters are those that
the training loop makes of the same steps, bit for bit.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bptt import inference, nest
from bptt.data.noise import noise
from bptt.errors import CheckpointError, DivergedError, InputError, ShapeError
from bptt.gradients import UORO
from bptt.gradients.settings import require_strategy
from bptt.models import LanguageModel, SeriesModel, Unroll
from bptt.training import checkpoint
from bptt.training.health import check_estimate, finite
from bptt.training.identity import describe_model
from bptt.training.pack import like, move
from bptt.training.run import parameters, set_parameters
from bptt.training.schedule import Schedule
from bptt.training.update import OPTIMIZERS, Update, make_optimizer
from bptt.types import Carry, Strategy, Window


class Observed(NamedTuple):
    """What was said before the target was looked at, and what that cost.

    prediction  the model's outputs: scores [V] or values [O], with rows [B, …]
    loss        a number, with rows [B]; NaN where the target is not known
    """

    prediction: Tensor
    loss: float | Tensor


class Rate(Schedule):
    """A factor on the learning rate by the number of steps observed."""

    def __init__(self, function: Callable[[int], float] | None) -> None:
        super().__init__()
        self.function = function

    def factor(self, epoch: float) -> float:
        """The factor after so many steps."""
        return 1.0 if self.function is None else float(self.function(int(epoch)))


class OnlineLearner:
    """A model that learns while it is used.

    ŷ_t, h_t = model(x_t, h_{t−1}; θ)      said before y_t is looked at, with the parameters of now
    l_t = loss(ŷ_t, y_t)                   what `observe` returns
    θ ← θ − update(∂l/∂θ)                  whenever the strategy has an estimate ready

    **The loss is honest**: it is that of a prediction made before anything was learnt from its target, so the mean of the
    losses is how well the model did in use (the prequential error), and needs no held-out data. For that the learner carries a
    state of its own, which moves on once with every step and is never run again: h_t was made by the parameters of its time.
    What the strategy carries may differ. `Truncated(k1=16)` runs its stretch when its last step is there; within a stretch the
    parameters stand still, so both states are equal up to rounding. With k2 > k1 the strategy runs past steps again under newer
    parameters, and the learner does not.

    **The parameters are those of the loop**: for every strategy for which window borders leave no trace (`Truncated`,
    `Randomized`, `RTRL`, `UORO`, …) they equal, bit for bit, those that `bptt.fit` makes of the same steps in windows of any
    length. The others (`Full`, `PerOutput`, `update="window"`) see windows of one step. A stretch whose end has not come waits
    in the carry, at most k1 steps; `close` spends it. Dropout acts where something is learnt, not in predictions.

    Arguments:
        model      a `LanguageModel`, a `SeriesModel` or an `Unroll` of your own; changed in place. An `Unroll` divides its
                   gradients by the `per` it was made with: rows × `gradient.nominal(1)`
        gradient   the strategy
        optimizer  "adam", "adamw", "sgd", or a torch optimizer over the model's parameters
        lr         learning rate of a named optimizer
        rows       B streams side by side, their values [B, …]; None: one stream, its values without a row axis
        clip       largest norm of a gradient; None: do not clip
        rate       the factor on the learning rate after n observed steps, a function of n; None: 1
        seed       of dropout masks

    Raises InputError for settings that cannot be, and for whatever the strategy refuses of the model; what it sees only when a
    step is taken, at the first `observe`.

    >>> learner = OnlineLearner(SeriesModel("gru", inputs=1, outputs=1, hidden_size=4), lr=0.01)
    >>> x = torch.sin(torch.arange(50) / 3)
    >>> losses = [learner.observe(now, then).loss for now, then in zip(x, x[1:])]
    >>> learner.steps, learner.updates
    (49, 49)

    Source of the protocol: Dawid 1984, Statistical theory: the prequential approach.
    """

    def __init__(
        self,
        model: LanguageModel | SeriesModel | Unroll,
        gradient: Strategy | None = None,
        optimizer: str | torch.optim.Optimizer = "adam",
        *,
        lr: float = 0.003,
        rows: int | None = None,
        clip: float | None = 1.0,
        rate: Callable[[int], float] | None = None,
        seed: int = 0,
    ) -> None:
        if rows is not None and (isinstance(rows, bool) or not isinstance(rows, int) or rows < 1):
            raise InputError("rows must be a whole number, at least 1", f"rows={rows!r}", "Leave it out for one stream")
        if gradient is not None:
            require_strategy(gradient)
        for name, value, least in (("lr", lr, "0 or above"), ("clip", 1.0 if clip is None else clip, "above 0")):
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not number or value < 0 or (name == "clip" and value == 0):
                raise InputError(f"{name} must be a number {least}", f"{name}={value!r}", f"Give for example {name}=1")
        self.model, self.gradient, self.rows, self.seed = model, UORO() if gradient is None else gradient, rows, seed
        self.batch_size = 1 if rows is None else rows
        model.train()
        per = self.batch_size * self.gradient.nominal(1)
        self.unroll = model if isinstance(model, Unroll) else model.unroll(per=per)
        self.update = Update(self.unroll.parameters(), self._optimizer(optimizer, lr), Rate(rate), clip)
        self.carry = self.gradient.start(self.unroll, self.batch_size)
        self.state = self._fresh()
        self.steps = self.updates = 0
        self._begins = torch.ones(self.batch_size, dtype=torch.bool)

    def _optimizer(self, optimizer: str | torch.optim.Optimizer, lr: float) -> torch.optim.Optimizer:
        if isinstance(optimizer, str):
            if optimizer not in OPTIMIZERS:
                raise InputError("There is no such optimizer", repr(optimizer), f"Known are: {', '.join(OPTIMIZERS)}")
            return make_optimizer(optimizer, self.unroll.parameters(), lr=lr)
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise InputError(
                "optimizer is no optimizer", repr(optimizer), f"Give one of torch.optim, or {', '.join(OPTIMIZERS)}"
            )
        theirs = {id(value) for group in optimizer.param_groups for value in group["params"]}
        if not theirs <= {id(value) for value in self.unroll.parameters()}:
            raise InputError("The optimizer has parameters that are not the model's", "", "Make it of model.parameters()")
        return optimizer

    def observe(self, x: Any, target: Any) -> Observed:
        """Predict from `x`, compare with `target`, learn from both.

        Arguments:
            x       what is read: a token id, the values [I], or whatever an `Unroll` of your own encodes; with rows [B, …]
            target  what should have been said: a token id, or the values [O], NaN where one is not known

        Returns `Observed(prediction, loss)`. Raises InputError or ShapeError for values that the model cannot take, and then
        nothing is learnt and nothing has moved; DivergedError if the model itself has left the numbers.
        """
        window = self._window(x, target)
        prediction, losses, state = inference.quiet(self.unroll, self._look)(window)
        if not finite(prediction) or not finite(losses[window.mask]):
            given = f"at step {self.steps + 1}, loss {losses.flatten().tolist()}"
            raise DivergedError("The model's prediction is no longer a number", given, "Load what was saved, lower the rate")
        before = self.state, self._begins, self.steps
        self.state, self._begins, self.steps = state, torch.zeros_like(self._begins), self.steps + 1
        try:
            self._learn(window)
        except InputError:  # the strategy refuses the model
            self.state, self._begins, self.steps = before
            raise
        losses = torch.where(window.mask, losses, torch.nan)[:, 0]
        return Observed(prediction[:, 0], losses) if self.rows else Observed(prediction[0, 0], float(losses))

    def predict(self, x: Any) -> Tensor:
        """What `observe(x, …)` would say: nothing is learnt, and nothing moves."""
        inputs = self._read(x)
        window = self._made(inputs, inputs, torch.zeros(inputs.shape[:2], dtype=torch.bool))
        prediction = inference.quiet(self.unroll, self.unroll.outputs)(window, self.state)[0]
        return prediction[:, 0] if self.rows else prediction[0, 0]

    def reset(self, rows: Any = None) -> None:
        """The next step begins a new sequence, in all rows or in those that a mask or indices name; InputError for others."""
        try:
            self._begins[slice(None) if rows is None else torch.as_tensor(rows)] = True
        except (IndexError, TypeError, ValueError, RuntimeError) as error:
            todo = f"Give a mask of {self.batch_size}, or indices from 0 to {self.batch_size - 1}"
            raise InputError("There are no such rows", repr(rows), todo) from error

    def close(self) -> None:
        """Spend the stretch that still waits for its end: at the end of the data, if it has one."""
        none = torch.zeros(self.batch_size, 0, device=self._device)
        self._learn(Window.of(none, none))

    def _look(self, window: Window) -> tuple[Tensor, Tensor, Any]:
        outputs, state = self.unroll.outputs(window, self.state)
        return outputs, self.unroll.loss(outputs, window.targets), state

    def _learn(self, window: Window) -> None:
        for estimate in self.gradient.gradients(self.unroll, window, self.carry):
            self.carry = estimate.carry
            norm, clipped = self.update.clip() if estimate.ready else (None, False)
            check_estimate(self.unroll, window, estimate.carry, float(estimate.loss_sum), norm, self.updates + 1)
            if norm is not None:
                self.update.spend(self.steps, norm, clipped)
                self.updates += 1

    @property
    def _device(self) -> torch.device:
        return next(self.unroll.parameters()).device

    def _fresh(self) -> Any:
        return nest.detach(self.unroll.initial_state(self.batch_size))

    def _window(self, x: Any, target: Any) -> Window:
        inputs, targets = self._read(x), self._tensor(target, "targets", getattr(self.model, "size", None))
        mask = torch.ones(inputs.shape[:2], dtype=torch.bool)
        if isinstance(self.model, SeriesModel):  # each value beside a 1, or a 0 beside a 0
            seen = ~targets.isnan()
            targets = torch.stack([targets.nan_to_num(), seen.to(targets.dtype)], -1)
            mask = seen.any(-1)
        elif not finite(targets):
            raise InputError("A target is not finite", f"{targets.flatten().tolist()[:8]}", "Leave the step out")
        return self._made(inputs, targets, mask)

    def _made(self, inputs: Tensor, targets: Tensor, mask: Tensor) -> Window:
        at = self.steps + (np.arange(self.batch_size, dtype=np.int64)[:, None] << 40)
        drawn, begins = torch.from_numpy(noise(self.seed, 0, at)), self._begins[:, None]
        return Window.of(inputs, targets, reset=begins, mask=mask, noise=drawn).to(self._device)

    def _read(self, x: Any) -> Tensor:
        inputs = self._tensor(x, "inputs", getattr(self.model, "inputs", None))
        if not finite(inputs):
            raise InputError("What is read is not finite", f"{inputs.flatten().tolist()[:8]}", "Fill it, or leave the step out")
        return inputs

    def _tensor(self, value: Any, name: str, width: int | None) -> Tensor:
        """A value [B, …] or […] as [B, 1, …], numbers in the model's precision."""
        try:
            found = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"The {name} of a step are no numbers", repr(value)[:80], "Give numbers or a tensor") from error
        whole = isinstance(self.model, LanguageModel)
        if found.is_complex() or (whole and found.is_floating_point()):
            kind = "whole numbers, the ids of tokens" if whole else "real numbers"
            raise InputError(f"The {name} of a step must be {kind}", f"{found.dtype}", f"Give {kind}")
        found = found.to(next(self.unroll.parameters()).dtype) if found.is_floating_point() else found.long()
        found = found if self.rows else found.unsqueeze(0)
        shape: tuple[int, ...] = (self.batch_size, *found.shape[1:])
        if isinstance(self.model, SeriesModel):
            found, shape = found.to(self.model.dtype), (self.batch_size, width or 1)
            found = found.reshape(shape) if found.numel() == shape[0] * shape[1] else found
        elif isinstance(self.model, LanguageModel):
            shape = (self.batch_size,)
        if found.shape != shape:
            wanted = list(shape) if self.rows else list(shape[1:])
            raise ShapeError(
                f"The {name} of a step have another shape", f"{list(torch.as_tensor(value).shape)}", f"Give {wanted}"
            )
        if isinstance(self.model, LanguageModel) and not 0 <= int(found.min()) <= int(found.max()) < self.model.size:
            raise InputError("No token has this id", f"{found.tolist()}", f"Give ids from 0 to {self.model.size - 1}")
        return found.unsqueeze(1)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Keep everything in a checkpoint in the folder `path`, whole or not at all; the one before it stays beside it.

        Plain tensors and JSON, every byte verified on reading; nothing in it executes. Returns where it is.
        """
        state = {
            "carry": self.carry,
            "state": self.state,
            "begins": self._begins,
            "update": {**self.update.state_dict(), "base": self.update.base},
            "counters": {"steps": self.steps, "updates": self.updates},
            "identity": self._identity(),
        }
        return checkpoint.save(Path(path), self.steps, parameters(self.model), self._described(), state)

    def load(self, path: str | os.PathLike[str]) -> OnlineLearner:
        """Go on from the newest checkpoint in the folder `path`, bit for bit; returns itself.

        The learner must have been made as the one that was saved. Raises CheckpointError, naming the difference, if it was not,
        or if no checkpoint is whole; then nothing has changed.
        """
        saved = checkpoint.load(Path(path))
        there = {**saved.model, **saved.state.get("identity", {})}
        for key, value in {**self._described(), **self._identity()}.items():
            if there.get(key) != value:
                given = f"{there.get(key)} there, {value} here"
                raise CheckpointError(f"The learner was saved with another {key}", given, "Make it as it was made then")
        carry, state = (move(saved.state[name], self._device) for name in ("carry", "state"))
        carry, state = Carry(like(self.carry.state, carry.state), carry.memory), like(self.state, state)
        set_parameters(self.model, saved.parameters)
        self.carry, self.state, self._begins = carry, state, saved.state["begins"]
        self.update.load_state_dict(saved.state["update"])
        self.update.base = saved.state["update"]["base"]
        self.steps, self.updates = (saved.state["counters"][name] for name in ("steps", "updates"))
        return self

    def _identity(self) -> dict[str, Any]:
        made = {"gradient": repr(self.gradient), "optimizer": type(self.update.optimizer).__name__}
        return {**made, "rows": self.rows, "clip": self.update.limit, "seed": self.seed}

    def _described(self) -> dict[str, Any]:
        if isinstance(self.model, Unroll):
            return {"kind": "own", "settings": {"cell": type(self.model.recurrent).__name__}, "vocab": None}
        return describe_model(self.model)
