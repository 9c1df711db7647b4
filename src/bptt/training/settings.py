"""What a training run is asked for: one value, checked when it is made."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

from bptt.data.plan import SAMPLINGS
from bptt.errors import InputError, did_you_mean
from bptt.gradients import Truncated
from bptt.training.schedule import SCHEDULES
from bptt.training.update import OPTIMIZERS
from bptt.types import Strategy

DTYPES = ("float32", "float64", "bfloat16")


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """How a model is trained.

    Arguments:
        gradient: the way to carry the gradient through time
        epochs: passes over the training part
        batch_size: rows B of a batch
        steps: steps T of a window
        sampling: sequential: lanes with carried state; random: windows in random order, state reset; shuffled: blocks
        block: tokens in a block of shuffled sampling; none: as many as steps
        optimizer: adam, adamw or sgd
        lr: learning rate
        momentum: of sgd
        weight_decay: of all optimisers
        schedule: of the learning rate: constant, cosine, step (halved every `decay_every` epochs) or plateau (when
            validation stalls that long)
        decay: factor of the step and plateau schedules
        decay_every: epochs between two steps of the step schedule, or to wait on a plateau
        warmup: epochs, or a fraction of one, over which the rate rises from 0
        clip: largest norm of a gradient; none: do not clip
        patience: stop after so many epochs without a better validation; none: never
        seed: of parameters, sampling, dropout and samples
        device: auto, cpu, cuda or cuda:N
        dtype: float32, float64, or bfloat16 (float32 parameters, bfloat16 products)
        threads: CPU threads; none: torch's choice
        save_every: updates between two checkpoints; none: at the end of each epoch, and every five minutes
        log_every: updates between two lines of metrics
        sample_every: epochs between two samples; 0: none
        sample_prefix: texts that samples go on from
        sample_length: tokens in a sample
        temperature: of the samples
        tensorboard: also write TensorBoard event files (needs the extra bptt[tensorboard])
    """

    gradient: Strategy = Truncated(64)  # noqa: RUF009 - a frozen value
    epochs: int = 5
    batch_size: int = 32
    steps: int = 64
    sampling: Literal["sequential", "random", "shuffled"] = "sequential"
    block: int | None = None
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = 0.003
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine", "step", "plateau"] = "cosine"
    decay: float = 0.5
    decay_every: int = 1
    warmup: float = 0.0
    clip: float | None = 1.0
    patience: int | None = None
    seed: int = 0
    device: str = "auto"
    dtype: Literal["float32", "float64", "bfloat16"] = "float32"
    threads: int | None = None
    save_every: int | None = None
    log_every: int = 1
    sample_every: int = 1
    sample_prefix: tuple[str, ...] = ()
    sample_length: int = 200
    temperature: float = 0.8
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for name, least in (
            ("epochs", 1),
            ("batch_size", 1),
            ("steps", 1),
            ("block", 1),
            ("decay_every", 1),
            ("patience", 1),
            ("seed", 0),
            ("threads", 1),
            ("save_every", 1),
            ("log_every", 1),
            ("sample_every", 0),
            ("sample_length", 0),
        ):
            self._whole(name, least)
        self._number("lr", 0, open_=True)
        self._number("clip", 0, open_=True)
        self._number("momentum", 0, below=1)
        self._number("weight_decay", 0)
        self._number("warmup", 0)
        self._number("temperature", 0)
        self._number("decay", 0, open_=True, below=1.0000001)
        for name, known in (
            ("sampling", SAMPLINGS),
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("dtype", DTYPES),
        ):
            self._one_of(name, known)
        if self.momentum and self.optimizer != "sgd":
            raise InputError(f"{self.optimizer} has no momentum to set", f"momentum={self.momentum}", "Use optimizer sgd")
        if not isinstance(self.gradient, Strategy):
            raise InputError("gradient is no gradient strategy", repr(self.gradient), "Give for example bptt.Truncated(64)")

    def _whole(self, name: str, least: int) -> None:
        value = getattr(self, name)
        optional = type(self).__dataclass_fields__[name].default is None
        if value is None and optional:
            return
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(
                f"{name} must be a whole number, at least {least}", f"{name}={value!r}", f"Give {name} a value in range"
            )

    def _number(self, name: str, least: float, *, open_: bool = False, below: float = math.inf) -> None:
        value: Any = getattr(self, name)
        if value is None and name == "clip":
            return
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or value < least or (open_ and value == least) or value >= below:
            bound = f"above {least}" if open_ else f"at least {least}"
            upper = "" if below == math.inf else f" and below {below:g}" if below <= 1 else " and at most 1"
            raise InputError(f"{name} must be a number {bound}{upper}", f"{name}={value!r}", f"Give {name} a value in range")

    def _one_of(self, name: str, known: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value not in known:
            raise InputError(f"There is no such {name}", f"{name}={value!r}", did_you_mean(str(value), list(known)))
