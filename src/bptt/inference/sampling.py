"""From the scores of the next token to one token: temperature, top-k, top-p, and the draw.

Knows numbers only; must not know models, text or torch. Draws from its caller's generator, never from a global one.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from typing import Any

import numpy as np

from bptt.errors import DivergedError, InputError


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the next token is drawn from scores o [V].

    p_v ∝ exp(o_v / temperature)  over the tokens that `forbidden` and `top_k` leave, then over those that `top_p` leaves

    temperature  0 or more; 0 is greedy: the token of the highest score (of equal ones the lowest id), the limit of ever
                 lower temperatures
    top_k        only the k tokens of the highest scores (of equal ones the lower ids); more than V: all; 1: greedy
    top_p        only the most probable tokens, as few as reach the total probability top_p, at least one; 0: greedy; 1: all
    forbidden    ids never drawn

    Scores may be of any size: they are shifted by their maximum, in float64. Raises InputError for settings out of range,
    and where every token is forbidden.

    >>> Sampling(top_k=2).probabilities(np.log([0.5, 0.25, 0.125, 0.125])).round(3).tolist()
    [0.667, 0.333, 0.0, 0.0]
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    forbidden: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not is_number(self.temperature) or not 0 <= self.temperature < math.inf:
            raise InputError(
                "A temperature is a finite number of at least 0",
                repr(self.temperature),
                "Give 1, or 0 for the most likely token",
            )
        if self.top_k is not None and (not is_whole(self.top_k) or self.top_k < 1):
            raise InputError(
                "top_k is a whole number of at least 1", repr(self.top_k), "Leave it out to choose among all tokens"
            )
        if self.top_p is not None and (not is_number(self.top_p) or not 0 <= self.top_p <= 1):
            raise InputError("top_p is a probability, from 0 to 1", repr(self.top_p), "Leave it out to choose among all tokens")

    @property
    def greedy(self) -> bool:
        """True if there is no choice: the highest score wins."""
        return self.temperature == 0 or self.top_k == 1 or self.top_p == 0

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """The distribution [V] that is drawn from, for scores [V] without NaN and +inf."""
        scores = self._allowed(scores)
        order = self._candidates(scores)
        kept = np.zeros(len(scores))
        kept[order] = self._nucleus(self._softmax(scores[order]))
        return kept / kept.sum()

    def draw(self, scores: np.ndarray, random: np.random.Generator) -> int:
        """One token; takes one number from `random`, whatever the settings."""
        cumulative = np.cumsum(self.probabilities(scores))
        # The first entry above u·total: one of probability 0 adds nothing to the sum before it, so it is never the first.
        return int(np.searchsorted(cumulative, random.random() * cumulative[-1], side="right"))

    def _allowed(self, scores: np.ndarray) -> np.ndarray:
        scores = np.array(scores, dtype=np.float64)
        beyond = [token for token in self.forbidden if not 0 <= token < len(scores)]
        if beyond or len(set(self.forbidden)) == len(scores):
            given = f"ids {beyond} of {len(scores)}" if beyond else f"all {len(scores)} tokens"
            raise InputError("These tokens cannot be forbidden", given, "Forbid some of the tokens that there are")
        scores[list(self.forbidden)] = -math.inf
        if scores.max() == -math.inf:
            raise DivergedError("The model gives every allowed token probability 0", "scores of −inf", "Allow other tokens")
        return scores

    def _candidates(self, scores: np.ndarray) -> np.ndarray:
        """Ids to choose among, the highest scores first where the order matters (sorting a large vocabulary takes time)."""
        if self.greedy:
            return np.argmax(scores, keepdims=True)
        if self.top_k is None and self.top_p is None:
            return np.arange(len(scores))
        return np.argsort(-scores, kind="stable")[: self.top_k]

    def _softmax(self, scores: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", under="ignore"):  # −inf and 0 are right: the limit of ever lower temperatures
            weights = np.exp((scores - scores.max()) / (self.temperature or 1.0))
        return weights / weights.sum()

    def _nucleus(self, probabilities: np.ndarray) -> np.ndarray:
        if self.top_p is None or self.top_p == 1 or self.greedy:
            return probabilities
        before = np.cumsum(probabilities) - probabilities
        return np.where(before < self.top_p, probabilities, 0.0)


def is_whole(value: Any) -> bool:
    """True for a whole number, numpy's included, that is no bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """True for a real number, numpy's included, that is no bool."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
