"""How well a text is predicted: one lane, the state carried, every target counted once.

Knows a loss function, a state and windows; must not know models. Sums are float64 and counts integers, so that the result
does not depend on how the text was cut, nor on anything of training.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from bptt import nest
from bptt.data import Tokens, Vocabulary
from bptt.errors import DivergedError, InputError
from bptt.inference.extent import extent
from bptt.inference.step import device_of
from bptt.inference.text import known, read
from bptt.metrics import Score
from bptt.types import State, Window

Losses = Callable[[Window, State], tuple[Tensor, State]]


@torch.no_grad()
def evaluate(
    losses: Losses,
    state: State,
    windows: Iterable[Window],
    *,
    stop: Callable[[], bool] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Score:
    """Sum the losses of `windows`, each read from the state that the one before left.

    nats = Σ −log p(x_t | x_1 … x_{t−1})  over the targets whose mask is set

    Arguments:
        losses    function (window, state) → (losses [B, T], state), as `unroll.losses`; see `quiet` for evaluation mode
        state     the state before the first window
        windows   in order; rows that are no independent documents start cold and change the number, so use one lane
        stop      asked before every window; True ends here, and the score is of what was read
        progress  called after every window with the number of targets counted so far

    Returns a `Score` without characters and bytes. Raises DivergedError where a loss is NaN; an infinite loss (a target of
    probability 0) is a result.
    """
    state, device = nest.detach(state), device_of(state)
    nats, tokens = 0.0, 0
    for window in windows:
        if stop is not None and stop():
            break
        window = window.to(device)
        each, state = losses(window, state)
        nats += float(torch.where(window.mask, each, 0.0).to("cpu", torch.float64).sum())
        tokens += window.count
        if math.isnan(nats):
            raise DivergedError("A loss is no longer a number", f"after {tokens} targets", "Use an earlier checkpoint")
        if progress is not None:
            progress(tokens)
    return Score(nats, tokens)


def evaluate_text(
    losses: Losses,
    state: State,
    text: Tokens | Sequence[int] | np.ndarray | str,
    vocab: Vocabulary | None = None,
    *,
    chunk: int = 1024,
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Score:
    """How well a model predicts the N − 1 tokens of `text` after the first one, which is only read.

    Arguments:
        losses, stop          as in `evaluate`
        state     the initial state: every text begins with a reset
        text      tokens, ids, or text as the vocabulary reads it
        vocab     for text, and for the characters and bytes of the targets: those of the text that was read, where `text`
                  knows it, else those that the ids tell (see `extent`); None: those are 0, unknown
        chunk     steps per call: memory and speed; the result does not depend on it
        progress  called with (targets counted so far, targets in all)

    Returns a `Score`. Raises InputError for a text of fewer than two tokens, or for ids that are none of the vocabulary's.
    """
    if isinstance(text, str):
        text = tokens_of(known(vocab), text)
    ids = ids_of(text, vocab)
    count = len(ids) - 1
    report = None if progress is None else lambda done: progress(done, count)
    lane = (text if isinstance(text, Tokens) else Tokens(ids)).whole(chunk)
    score = evaluate(losses, state, lane, stop=stop, progress=report)
    if isinstance(text, Tokens) and text.characters and score.tokens == count:
        return dataclasses.replace(score, characters=text.characters, bytes=text.bytes)
    if vocab is None:
        return score
    characters, size = extent(vocab, ids[1 : 1 + score.tokens])
    return dataclasses.replace(score, characters=characters, bytes=size)


def tokens_of(vocab: Vocabulary, text: str) -> Tokens:
    """The tokens of a text, with the length of what was read, also where it is <unk>."""
    ids = read(vocab, text)
    if vocab.unit == "byte" or len(ids) < 2:
        return Tokens(ids)
    added = (" " if vocab.unit == "word" else "").join(["", *vocab.tokenizer.split(text)[1:]])
    return Tokens(ids, len(added), len(added.encode("utf-8", "surrogatepass")))


def ids_of(text: Tokens | Sequence[int] | np.ndarray, vocab: Vocabulary | None) -> np.ndarray:
    """The ids [N] of a text in any of the forms it may come in."""
    ids = text.ids if isinstance(text, Tokens) else np.asarray(text)
    if ids.ndim != 1 or (len(ids) and ids.dtype.kind not in "iu"):
        raise InputError("Ids are one row of whole numbers", f"{ids.dtype} of shape {ids.shape}", "Give ids [N]")
    if vocab is not None and len(ids) and not 0 <= ids.min() <= ids.max() < len(vocab):
        given = f"ids from {ids.min()} to {ids.max()}, {len(vocab)} tokens"
        raise InputError("The text has ids that the vocabulary does not have", given, "Read it with vocab=model.vocab")
    return ids
