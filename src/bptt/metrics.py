"""What a sum of losses says: perplexity, bits per token, per character, per byte.

Knows numbers only. Sums are float64 and counts are integers, so the result does not depend on how a text was cut.
"""

from __future__ import annotations

import dataclasses
import math


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
