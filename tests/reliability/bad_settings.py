"""R11: bad settings. R13: the edges of sampling."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from work import Work

from bptt.config import SETTINGS, Config
from bptt.errors import InputError
from bptt.inference.sampling import Sampling

NAN = float("nan")
ODD = [*("", "x y", "nan", "inf", "-1", "0", "1e999", "truncated:k1=8,k2=4", "\0"), *(-1, 0, 2**70, -0.5, 1.1, NAN, math.inf)]
ODD += [True, None, [], [1], {}, {"class_path": "os.system"}, ["a", 1], b"x"]
MUST = {  # what no setting of this type may take
    int: ["x y", "nan", "1e999", 1.1, NAN, math.inf, True, [1], {}, "", b"x"],
    float: ["x y", "nan", "inf", "1e999", NAN, math.inf, True, [1], {}, "", b"x"],
    bool: ["x y", 2**70, -1, 1.1, NAN, None, [1], {}, "", b"x"],
}
BOUNDED: dict[str, list[Any]] = {
    **{key: [0, -1, 2**70] for key in ("epochs", "batch_size", "steps", "block", "hidden_size", "layers", "log_every")},
    **{key: [-1] for key in ("seed", "sample_every", "sample_length", "min_freq", "embedding_size", "weight_decay", "warmup")},
    "lr": [0, -0.1],
    "clip": [0, -1],
    "dropout": [1, 1.1, -0.1],
    "momentum": [1, -0.1],
    "valid": [-0.1, 1.0, 1.1],
    "test": [-0.1, 1.0],
    "threads": [0, -1, 10**6, 2**31, 2**70],
    "gradient": ["", "full:k=1", "truncated", "truncated:k1=8,k2=4", "os.system:a=1", 3, None, {"class_path": "os.system"}],
    "encoding": ["utf9", "hex", ""],
    "unit": ["chars", ""],
}


def cases() -> list[tuple[str, Any, bool]]:
    """A key, a value, and whether it must be refused."""
    found = [(key, value, True) for key, values in BOUNDED.items() for value in values]
    for key, setting in SETTINGS.items():
        kind = setting.kind
        found += [(key, value, True) for value in MUST.get(kind, [])]
        found += [(key, value, False) for value in ODD]
    found += [(key + "x", 1, True) for key in SETTINGS]
    return found


CASES = cases()


def settings(work: Work) -> None:
    """A round is a key and a value: refused by an InputError that names the key, or a setting like any other."""
    refused = 0
    order = sorted(range(len(CASES)), key=lambda n: hash((work.seed, n)))
    for round in work.rounds():
        key, value, must = CASES[order[round.number % len(CASES)]]
        with work.naming((key, value)):
            try:
                config = Config.from_flat({key: value})
            except InputError as error:
                refused += 1
                assert error.exit_code == 2 and error.todo and names(key, str(error)), str(error)
            else:
                assert not must, "taken"
                assert Config.from_flat(config.to_flat()) == config
    work.reached["refused"] = f"{refused} of {work.done}, each by name; the others are settings"


def names(key: str, message: str) -> bool:
    """The message has the key, as it may be spelled, or the words of it; of a strategy, what it lacks and how it is written."""
    if key == "gradient":
        return "rite" in message or "nown are" in message or "ive " in message or "id you mean" in message
    words = message.lower().replace("-", "_").replace(" ", "_")
    return key in words or key.removeprefix("vocab_") in words or key.rstrip("x") in words


def sampling(work: Work) -> None:
    """A round: scores with ties, −∞ and any size, and settings at their edges, against sorting in plain Python."""
    for round in work.rounds():
        draw = round.random
        size = draw.choice([1, 2, 3, 7, 40])
        scores = [draw.choice([draw.gauss(0, 1), 0.0, 1.0, -math.inf, 1e300, -1e300]) for _ in range(size)]
        scores[draw.randrange(size)] = draw.choice([0.0, 3.0, 1e300])
        temperature = draw.choice([0.0, 1e-300, 0.1, 1.0, 5.0, 1e300])
        top_k = draw.choice([None, 1, 2, size, size + 5, 10**9])
        top_p = draw.choice([None, 0.0, 1e-12, 0.3, 0.999, 1.0])
        chosen = Sampling(temperature, top_k, top_p)
        with work.naming((scores, temperature, top_k, top_p)):
            found = chosen.probabilities(np.array(scores))
            wanted = by_hand(scores, temperature, top_k, top_p)
            assert np.allclose(found, wanted, rtol=1e-9, atol=1e-12), wanted
            drawn = {chosen.draw(np.array(scores), np.random.default_rng(seed)) for seed in range(8)}
            assert all(found[token] > 0 for token in drawn)
            again = [[chosen.draw(np.array(scores), np.random.default_rng(seed)) for seed in range(4)] for _ in range(2)]
            assert again[0] == again[1]
    work.reached["right"] = f"{work.done} of {work.done}"


def by_hand(scores: list[float], temperature: float, top_k: int | None, top_p: float | None) -> list[float]:
    """The distribution as its definition says, over a sorted list."""
    order = sorted(range(len(scores)), key=lambda n: (-scores[n], n))
    if temperature == 0 or top_k == 1 or top_p == 0:
        order = order[:1]
    order = order[:top_k]
    best = scores[order[0]]
    weights = [math.exp(max(-800.0, (scores[n] - best) / (temperature or 1.0))) for n in order]
    weights = [0.0 if weight < 1e-300 else weight for weight in weights]
    total = math.fsum(weights)
    shares = [weight / total for weight in weights]
    if top_p is not None and 0 < top_p < 1:
        before = [0.0, *itertools.accumulate(shares)][:-1]
        shares = [share if sofar < top_p else 0.0 for share, sofar in zip(shares, before, strict=True)]
    total = math.fsum(shares)
    found = [0.0] * len(scores)
    for n, share in zip(order, shares, strict=True):
        found[n] = share / total
    return found
