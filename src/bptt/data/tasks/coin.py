"""Coin memory: a coin whose bias hangs on two tosses of the past. Each lag that is learnt takes away some of the surprise."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np

from bptt.data.tasks.task import Drawn, TokenTask, entropy, whole
from bptt.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coin(TokenTask):
    """Read tosses x of a fair coin, and say those of one that remembers two of them.

    P(y_t = 1) = ½ + ½ x_{t−a} − ¼ x_{t−b},   x ∈ {0, 1}

    Arguments:
        lags: a and b; a may be smaller or larger than b
        size, fresh, seed: as of every task

    The least loss, in nats per step, H the entropy of a coin:
        nothing known   H(⅝)                          0.6616
        b alone         ½ H(¾) + ½ H(½)               0.6277
        a alone         ½ H(⅜) + ½ H(⅞)               0.5193
        both            ¼ [H(½) + H(1) + H(¼) + H(¾)] 0.4545, the floor

    >>> round(Coin(lags=(3, 8)).floor, 4)
    0.4545
    """

    lags: tuple[int, int] = (3, 8)

    name: ClassVar[str] = "coin"
    about: ClassVar[str] = "tosses of a coin whose bias hangs on two earlier tosses of another"
    continues: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        lags = self.lags if isinstance(self.lags, tuple | list) else (self.lags,)
        if len(lags) != 2 or len(set(lags)) != 2:
            raise InputError("A coin remembers two lags", f"lags={self.lags!r}", "Give for example coin:lags=3,8")
        object.__setattr__(self, "lags", tuple(whole("lags", lag, 1) for lag in lags))

    @property
    def tokens(self) -> tuple[str, ...]:
        """Tails and heads."""
        return ("0", "1")

    def levels(self) -> dict[str, float]:
        """By the lags that are known."""
        a, b = self.lags

        def coin(share: float) -> float:
            return entropy(share, 1 - share)

        # P(y = 1) averaged over what is not known: x is 1 half of the time.
        found: dict[str, Any] = {
            "nothing known": coin(1 / 2 + 1 / 4 - 1 / 8),
            f"lag {b} alone": np.mean([coin(1 / 2 + 1 / 4 - x / 4) for x in (0, 1)]),
            f"lag {a} alone": np.mean([coin(1 / 2 + x / 2 - 1 / 8) for x in (0, 1)]),
            f"lags {min(a, b)} and {max(a, b)}": np.mean([coin(1 / 2 + x / 2 - z / 4) for x in (0, 1) for z in (0, 1)]),
        }
        return {name: float(loss) for name, loss in found.items()}

    def draw(self, generator: np.random.Generator, count: int) -> Drawn:
        """Tosses from before the first step too, so that the first targets are drawn like all others."""
        reach = max(self.lags)
        tosses = generator.integers(0, 2, count + reach)
        a, b = (tosses[reach - lag : reach - lag + count] for lag in self.lags)
        said = (generator.random(count) < 1 / 2 + a / 2 - b / 4).astype(np.int64)
        none = np.zeros(count, bool)
        return Drawn(tosses[reach:], said, ~none, none, np.arange(count) - reach)
