"""What a training run is asked for: one value, checked when it is made."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

from bptt.data.plan import SAMPLINGS
from bptt.errors import InputError, did_you_mean
from bptt.gradients import Truncated
from bptt.training.schedule import SCHEDULES
from bptt.training.update import OPTIMIZERS
from bptt.types import Strategy

DTYPES = ("float32", "float64", "bfloat16")
CHOICES = {"sampling": SAMPLINGS, "optimizer": OPTIMIZERS, "schedule": SCHEDULES, "dtype": DTYPES}
# The least value of every whole number.
WHOLE = {
    **dict.fromkeys(
        ("epochs", "batch_size", "steps", "block", "decay_every", "patience", "threads", "save_every", "log_every"), 1
    ),
    **dict.fromkeys(("seed", "sample_every", "sample_length"), 0),
}
THREADS = 1024  # with more of them than the system can start, the process is gone without a word


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
        for name, least in WHOLE.items():
            self._whole(name, least)
        for name in ("lr", "clip"):
            self._number(name, "above 0", lambda value: value > 0)
        for name in ("weight_decay", "warmup", "temperature"):
            self._number(name, "of at least 0", lambda value: value >= 0)
        self._number("momentum", "from 0 up to, not including, 1", lambda value: 0 <= value < 1)
        self._number("decay", "above 0 and at most 1", lambda value: 0 < value <= 1)
        for name, known in CHOICES.items():
            self._one_of(name, known)
        self._texts()
        if self.momentum and self.optimizer != "sgd":
            raise InputError(f"{self.optimizer} has no momentum to set", f"momentum={self.momentum}", "Use optimizer sgd")
        for name in ("decay", "decay_every"):
            value = getattr(self, name)
            if value != type(self).__dataclass_fields__[name].default and self.schedule not in ("step", "plateau"):
                given = f"{name}={value!r}, schedule={self.schedule!r}"
                raise InputError(f"Only the schedules step and plateau have {name}", given, f"Use one, or leave {name} out")
        if isinstance(self.gradient, type) or not isinstance(self.gradient, Strategy):
            given = f"gradient={self.gradient!r}"
            raise InputError("gradient is no gradient strategy", given, "Give for example bptt.Truncated(64)")

    def _whole(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if value is None and type(self).__dataclass_fields__[name].default is None:
            return
        most = THREADS if name == "threads" else 2**63 - 1
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            what = f"{name} must be a whole number, at least {least}{f' and at most {most}' if most == THREADS else ''}"
            raise InputError(what, f"{name}={value!r}", self._example(name, least + 9))

    def _number(self, name: str, what: str, holds: Callable[[float], bool]) -> None:
        value: Any = getattr(self, name)
        if value is None and name == "clip":
            return
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or not holds(value):
            raise InputError(f"{name} must be a number {what}", f"{name}={value!r}", self._example(name, 1))

    def _example(self, name: str, otherwise: float) -> str:
        default = type(self).__dataclass_fields__[name].default
        return f"Try {name}={otherwise if default is None else default}"

    def _one_of(self, name: str, known: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value not in known:
            raise InputError(f"There is no such {name}", f"{name}={value!r}", did_you_mean(str(value), list(known)))

    def _texts(self) -> None:
        texts = self.sample_prefix
        if not isinstance(texts, tuple | list) or not all(isinstance(text, str) for text in texts):
            raise InputError("sample_prefix must be several texts", f"sample_prefix={texts!r}", 'Give for example ("The ",)')
        if not isinstance(self.device, str):
            raise InputError("device must be a name", f"device={self.device!r}", "Use auto, cpu, cuda or cuda:N")
        if not isinstance(self.tensorboard, bool):
            raise InputError("tensorboard must be true or false", f"tensorboard={self.tensorboard!r}", "Give True or False")
