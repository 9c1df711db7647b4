"""R12: perplexity is one number; R19: evaluation does not disturb training."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import torch
from work import Work

from bptt.data import Tokens


def perplexity(work: Work) -> None:
    """A round is a model and a text: evaluate, in pieces of any length and after any way of training, against a plain loop.

    The loop feeds one token after another through `step` and adds −log softmax in NumPy; a far-off loss above 709 is kept.
    """
    from small_run import make_corpus, make_model

    worst, beyond = 0.0, 0
    for round in work.rounds():
        draw = round.random
        cell, length = draw.choice(["rnn", "lstm", "gru"]), draw.randrange(2, 90)
        # Sharp models, too: their losses are beyond what exp can hold.
        scale = draw.choice([1.0, 1.0, 3000.0])
        model = make_model(cell, seed=draw.getrandbits(30), dropout=draw.choice([0.0, 0.3])).double()
        with torch.no_grad():
            model.readout.linear.weight.mul_(scale)
        ids = make_corpus().train.ids[:length]
        wanted = by_hand(model, ids)
        for chunk in (1, draw.randrange(1, 40), 1000):
            model.train(draw.random() < 0.5)
            mode = model.training
            score = model.evaluate(Tokens(ids), chunk=chunk)
            with work.naming((cell, length, scale, chunk)):
                assert model.training == mode and score.tokens == length - 1 and type(score.tokens) is int
                assert math.isclose(score.nats, wanted, rel_tol=1e-9), (score.nats, wanted)
                mean = wanted / (length - 1)
                assert math.isclose(score.perplexity, math.exp(mean) if mean < 709 else math.inf, rel_tol=1e-9)
                beyond += mean > 709
            worst = max(worst, abs(score.nats / wanted - 1))
    work.reached["beyond a loss of 709"] = f"{beyond} of {3 * work.done}"
    work.reached["largest relative difference"] = f"{worst:.1e}"


@torch.no_grad()
def by_hand(model: Any, ids: Any) -> float:
    """−Σ log p, one token at a time."""
    mode, state, total = model.training, model.eval().initial_state(1), 0.0
    for this, following in itertools.pairwise(ids):
        scores, state = model.step(torch.tensor([int(this)]), state)
        row = scores[0].numpy().astype(np.float64)
        total += float(row.max() + np.log(np.exp(row - row.max()).sum()) - row[int(following)])
    model.train(mode)
    return total


def undisturbed(work: Work) -> None:
    """A round is a strategy and a cell: trained with and without validation, samples and checkpoints, the weights are equal."""
    from resuming import CELLS, SAMPLINGS, STRATEGIES
    from small_run import digest, make_corpus, make_model, train

    names = list(STRATEGIES)
    for round in work.rounds():
        strategy, cell = names[round.number % len(names)], CELLS[round.number // len(names) % len(CELLS)]
        sampling = round.random.choice(list(SAMPLINGS))
        settings: dict[str, Any] = {"gradient": STRATEGIES[strategy], **SAMPLINGS[sampling]}
        bare, full = make_model(cell), make_model(cell)
        fresh = digest(dict(bare.named_parameters()))
        train(None, model=bare, corpus=make_corpus(valid=0), sample_every=0, **settings)
        train(round.folder / "run", model=full, sample_every=1, sample_length=20, save_every=1, **settings)
        with work.naming((strategy, cell, sampling)):
            assert fresh != digest(dict(bare.named_parameters())) == digest(dict(full.named_parameters()))
    work.reached["equal"] = f"{work.done} of {work.done}"
