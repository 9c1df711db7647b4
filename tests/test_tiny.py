"""The whole path in seconds: a text, a model, a gradient, a run, a continuation, an evaluation, a report."""

from __future__ import annotations

import torch

import bptt
from bptt.report import write_report


def test_from_a_text_to_a_report(tmp_path):
    text = tmp_path / "book.txt"
    text.write_text("the cat sat on the mat. " * 200, encoding="utf-8")
    torch.manual_seed(0)
    corpus = bptt.read_text(text, unit="char", valid=0.1)
    model = bptt.LanguageModel("gru", vocab=corpus.vocab, hidden_size=24)
    run = bptt.fit(
        model, corpus, gradient=bptt.Truncated(16), epochs=6, steps=20, batch_size=8, lr=0.02, threads=1, out=tmp_path / "run"
    )
    assert run.reason == "finished" and run.perplexity < 2 < len(corpus.vocab)
    again = bptt.load(run.path)
    assert again.evaluate(corpus.valid).perplexity == run.best.perplexity
    assert "the cat sat on the mat. the" in again.generate("the cat", length=60, temperature=0)
    assert "<svg" in write_report(run.path).read_text(encoding="utf-8")


def test_a_loop_of_ones_own(tmp_path):
    torch.manual_seed(0)
    embed, head = torch.nn.Embedding(7, 8), torch.nn.Linear(16, 7)
    strategy = bptt.Truncated(k1=5, k2=10)
    unroll = bptt.Unroll(embed, bptt.nn.GRU(8, 16, batch_first=True), head, per=2 * strategy.nominal(12))
    optimizer = torch.optim.Adam(unroll.parameters(), lr=0.01)
    ids = torch.arange(61).remainder(7).repeat(2, 1)
    carry, losses = strategy.start(unroll, batch_size=2), []
    for _ in range(10):
        for start in range(0, 60, 12):
            window = bptt.Window.of(ids[:, start : start + 12], ids[:, start + 1 : start + 13])
            for estimate in strategy.gradients(unroll, window, carry):
                carry = estimate.carry
                if estimate.ready:
                    torch.nn.utils.clip_grad_norm_(unroll.parameters(), 1.0)
                    optimizer.step()
                    optimizer.zero_grad()
                    losses.append(float(estimate.loss_sum) / estimate.count)
    assert losses[0] > 1.5 and losses[-1] < 0.1
