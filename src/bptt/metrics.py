"""What a sum of losses says: perplexity, bits per token, per character, per byte; the typical error of numbers.

Knows numbers only. Sums are float64 and counts are integers, so the result does not depend on how a text was cut.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable


def perplexity(nats: float) -> float:
    """exp(mean negative log-likelihood): 1 for a perfect model, V for a uniform one, inf for a model that gives 0.

    >>> perplexity(0.0)
    1.0
    >>> perplexity(1000.0)
    inf
    """
    return math.inf if nats >= 709.0 else math.exp(nats)


@dataclasses.dataclass(frozen=True)
class Score:
    """How well a model predicts a text: total negative log-likelihood over its target tokens.

    nats        sum of −log p over all targets
    tokens      number of targets
    characters  length of the target text in characters (0: unknown)
    bytes       length of the target text in UTF-8 bytes (0: unknown)
    """

    nats: float
    tokens: int
    characters: int = 0
    bytes: int = 0

    @property
    def mean(self) -> float:
        """Nats per token."""
        return self.nats / self.tokens if self.tokens else math.nan

    @property
    def perplexity(self) -> float:
        """Perplexity per token."""
        return perplexity(self.mean)

    @property
    def bits_per_token(self) -> float:
        """Bits per token."""
        return self.mean / math.log(2)

    @property
    def bits_per_character(self) -> float:
        """Bits per character of the text, whatever the tokens are."""
        return self.nats / math.log(2) / self.characters if self.characters else math.nan

    @property
    def bits_per_byte(self) -> float:
        """Bits per UTF-8 byte of the text, whatever the tokens are."""
        return self.nats / math.log(2) / self.bytes if self.bytes else math.nan


@dataclasses.dataclass(frozen=True)
class Measure:
    """What the mean loss of a kind of model is called, and the figure that people judge it by, lower is better.

    name  of the figure: perplexity, rmse, mae
    loss  of the mean loss itself: nats, mean_loss
    of    from the mean loss to the figure
    more  further figures, properties of `Score` by name
    """

    name: str
    loss: str
    of: Callable[[float], float]
    more: tuple[str, ...] = ()

    def figures(self, mean: float, prefix: str = "") -> dict[str, float]:
        """The mean loss and the figure, by their names."""
        return {prefix + self.loss: mean, prefix + self.name: self.of(mean)}

    def facts(self, score: Score) -> dict[str, float]:
        """All that is said of a validation."""
        return {**self.figures(score.mean), **{name: getattr(score, name) for name in self.more}}


def root(mean: float) -> float:
    """The square root of a mean squared error.

    >>> root(4.0)
    2.0
    """
    return math.sqrt(mean) if mean >= 0 else math.nan


def same(mean: float) -> float:
    """A mean absolute error is a figure already."""
    return mean


PERPLEXITY = Measure("perplexity", "nats", perplexity, ("bits_per_token", "bits_per_character"))
RMSE = Measure("rmse", "mean_loss", root)
MAE = Measure("mae", "mean_loss", same)
