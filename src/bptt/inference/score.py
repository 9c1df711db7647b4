"""The probability of a sentence, token by token.

Knows a vocabulary and a step function; must not know models or files.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import numpy as np

from bptt import nest
from bptt.data import Vocabulary
from bptt.inference.step import Step, feed
from bptt.inference.text import known, read, start_token
from bptt.metrics import Score
from bptt.types import State


@dataclasses.dataclass(frozen=True)
class TokenScore:
    """How likely one token is, given all before it.

    token        as the vocabulary spells it; <unk> for an unknown one
    nats         −log probability
    probability  may be 0 where `nats` is still finite
    """

    token: str
    nats: float
    probability: float


def score(step: Step, state: State, vocab: Vocabulary | None, text: str) -> list[TokenScore]:
    """P(x_t | s, x_1 … x_{t−1}) for every token x_t of `text`, in float64.

    The first token too: before it the model reads s = `start_token(vocab)`, as generation from an empty prefix does. So the
    probabilities of all texts of one token sum to 1 over the vocabulary, and so do those of all texts of n tokens; the
    product is the probability that generation from nothing, with reserved tokens allowed, begins with `text`. (`evaluate`
    reads no start token: it counts the N − 1 tokens after the first one.)

    Arguments: step, state as in `generate`; text, where unknown tokens count as <unk>, with one warning.
    Returns one `TokenScore` per token; `total` sums them up.
    Raises InputError for a model without vocabulary, DivergedError for scores that are no longer numbers.
    """
    vocab, state = known(vocab), nest.detach(state)
    before, scores = start_token(vocab), []
    for token in read(vocab, text).tolist():
        logits, state = feed(step, (before,), state)
        nats = surprise(logits, token)
        scores.append(TokenScore(vocab.tokens(token), nats, math.exp(-nats)))
        before = token
    return scores


def surprise(scores: np.ndarray, token: int) -> float:
    """−log softmax(scores)[token], in nats: log Σ_v exp o_v − o_token, for scores [V] in float64."""
    shifted = scores - scores.max()
    return float(np.log(np.exp(shifted).sum()) - shifted[token])


def total(scores: Iterable[TokenScore]) -> Score:
    """All of them as one score: the nats add up, and so the probabilities multiply."""
    nats = [token.nats for token in scores]
    return Score(math.fsum(nats), len(nats))
