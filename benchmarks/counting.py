"""Counting ten million words: time and memory of all 1-, 2- and 3-grams, and of the models made from them.

The text is made up: words drawn one by one by Zipf's law from a large vocabulary, written to a file and read from it. Drawn
independently, words make far more distinct pairs and triples than a language does, so this is the hard case. Checks first that
the counts of a part are those of dictionaries, that rows sum to 1, and that pieces do not change the result; then times each
step once, on as many threads as NumPy takes (sorting takes one), with the largest memory that the process has had so far.

    python benchmarks/counting.py [--tokens 10000000] [--vocabulary 200000] [--order 3] [--text book.txt]
"""

from __future__ import annotations

import argparse
import platform
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import bptt
from bptt.counting import KneserNey, Laplace, NGram, count, zipf


def check(ids: np.ndarray, size: int, order: int) -> None:
    """The first tokens, against dictionaries and in pieces; rows against 1."""
    some = ids[:20_000]
    whole, pieces = count(some, order, size), count(some, order, size, piece=3_001)
    for n in range(1, order + 1):
        expected = Counter(zip(*(some[k : len(some) - n + 1 + k].tolist() for k in range(n)), strict=True))
        found = dict(zip(map(tuple, whole.ids(n).tolist()), whole.levels[n - 1].counts.tolist(), strict=True))
        assert found == expected, f"{n}-grams"
        assert (pieces.levels[n - 1].keys == whole.levels[n - 1].keys).all(), f"{n}-grams in pieces"
    for smoothing in (Laplace(), KneserNey()):
        model = NGram(order, smoothing, vocab=size).use(whole)
        for start in (0, 100, 9_999):
            assert abs(model.probabilities(some[start : start + order - 1]).sum() - 1) < 1e-12, smoothing


def made_up(path: Path, tokens: int, vocabulary: int) -> None:
    """A text of words w0, w1, … with probabilities ∝ 1/rank."""
    chances = 1 / np.arange(1, vocabulary + 1)
    cumulative = np.cumsum(chances / chances.sum())
    random = np.random.default_rng(0)
    names = np.array([f"w{rank}" for rank in range(vocabulary)])
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, tokens, 500_000):
            drawn = np.searchsorted(cumulative, random.random(min(500_000, tokens - start)))
            file.write(" ".join(names[np.minimum(drawn, vocabulary - 1)]) + "\n")


def gibibytes() -> float:
    """The largest memory that this process has had."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024) / 2**30


def timed(name: str, step: Callable[[], Any]) -> Any:
    """Do it once and say what it took."""
    wall, processor = time.perf_counter(), time.process_time()
    found = step()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{name:34} {wall:7.1f} s  ({processor:.1f} s of processor)   peak {gibibytes():.2f} GiB", flush=True)
    return found


def main() -> None:
    """Print one line per step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=10_000_000)
    parser.add_argument("--vocabulary", type=int, default=200_000)
    parser.add_argument("--order", type=int, default=3)
    parser.add_argument("--text", help="a text of your own, its words counted, in place of the made-up one")
    args = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, NumPy {np.__version__}; at the start {gibibytes():.2f} GiB")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(args.text or Path(folder, "words.txt"))
        if not args.text:
            made_up(path, round(args.tokens / 0.99), args.vocabulary)  # a hundredth is held out
        corpus = timed("read and number the words", lambda: bptt.read_text(path, unit="word", valid=0.01))
    ids, size = corpus.train.ids, len(corpus.vocab)
    check(ids, size, args.order)
    grams = timed(f"count 1- to {args.order}-grams", lambda: count(ids, args.order, size))
    distinct = ", ".join(f"{len(level):,}" for level in grams.levels)
    print(f"  {len(ids):,} words, vocabulary {size:,}; different 1- to {args.order}-grams: {distinct}")
    for name, smoothing in (("Laplace", Laplace()), ("Kneser-Ney", KneserNey())):
        model = timed(f"{name} tables", lambda s=smoothing: NGram(args.order, s, vocab=corpus.vocab).use(grams))
        score = timed(f"{name} on {len(corpus.valid):,} words", lambda m=model: m.evaluate(corpus.valid))
        print(f"  perplexity {score.perplexity:,.1f}")
    laws = timed("Zipf's law", lambda: [zipf(level.counts) for level in grams.levels])
    print("  exponents", ", ".join(f"{law.exponent:.3f}" for law in laws if law))


if __name__ == "__main__":
    main()
