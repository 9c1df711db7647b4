"""Perplexity is one number: whatever batch and window a run trains with, `evaluate` says the same of the same weights."""

from __future__ import annotations

import math

import pytest
import torch

import bptt

TEXT = "Streng genommen hat nur eine Sorte Bücher das Glück unserer Erde vermehrt: die Kochbücher. " * 15
# A rate that changes no float64 parameter, so that every run ends with the weights it began with.
STILL = 1e-300


def evaluated(tmp_path, batch_size: int, steps: int) -> tuple[float, int]:
    corpus = bptt.read_text(tmp_path / "text.txt", valid=0.3)
    torch.manual_seed(3)
    model = bptt.LanguageModel("lstm", vocab=corpus.vocab, hidden_size=9, layers=2, dropout=0.2)
    out = tmp_path / f"run-{batch_size}-{steps}"
    settings = {"optimizer": "sgd", "lr": STILL, "dtype": "float64", "threads": 1, "sample_every": 0}
    run = bptt.fit(model, corpus, gradient=bptt.Truncated(7), epochs=1, batch_size=batch_size, steps=steps, out=out, **settings)
    score = bptt.load(out).evaluate(corpus.valid)
    assert score.perplexity == pytest.approx(run.best.perplexity, rel=1e-12)
    return score.nats, score.tokens


@pytest.mark.filterwarnings("ignore:The text has")
def test_whatever_batch_and_window_it_was_trained_with(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    found = {(b, t): evaluated(tmp_path, b, t) for b in (1, 2, 7, 64) for t in (5, 35, 1000)}
    nats, tokens = found[1, 5]
    assert tokens == len(bptt.read_text(tmp_path / "text.txt", valid=0.3).valid) - 1
    assert all(t == tokens and math.isclose(n, nats, rel_tol=1e-9) for n, t in found.values())
    assert nats / tokens > 1
