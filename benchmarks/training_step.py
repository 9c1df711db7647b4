"""A whole training step of a language model against the same step in torch.nn: embedding, layer, head, loss, clip, Adam.

Checks first that both give the same loss, and then the same gradients, from the same parameters and carried states; then times
both in turns, in random order. Also says how many numbers the largest tensor kept for the backward pass has: at a large
vocabulary, torch.nn keeps a score for every token of the batch and every word.

    python benchmarks/training_step.py [--threads 2] [--rounds 15]
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

import bptt
from bptt.kernels import choose, library
from bptt.types import Carry

CASES = {
    "characters, GRU": ("gru", 100, 256, 32, 64),
    "characters, RNN": ("rnn", 100, 256, 32, 64),
    "characters, LSTM": ("lstm", 100, 256, 32, 64),
    "Chinese characters, GRU": ("gru", 4500, 512, 32, 64),
}
LAYERS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class Theirs:
    """The model as one writes it with torch.nn, its parameters those of a model of ours."""

    def __init__(self, model: bptt.LanguageModel, cell: str, vocab: int, units: int) -> None:
        self.table, self.layer = nn.Embedding(vocab, units), LAYERS[cell](units, units, batch_first=True)
        self.head = nn.Linear(units, vocab)
        parts = nn.ModuleList([self.table, self.layer, self.head])
        for mine, other in zip(parts.parameters(), model.parameters(), strict=True):
            mine.data = other.detach().clone()
        self.parameters, self.state = list(parts.parameters()), None

    def differentiate(self, ids: Tensor, targets: Tensor) -> float:
        y, state = self.layer(self.table(ids), self.state)
        self.state = tuple(leaf.detach() for leaf in state) if isinstance(state, tuple) else state.detach()
        loss = functional.cross_entropy(self.head(y).flatten(0, 1), targets.flatten())
        loss.backward()
        return loss.item()


class Ours:
    """The same with a strategy, the state in its carry."""

    def __init__(self, model: bptt.LanguageModel, rows: int, steps: int) -> None:
        self.strategy, self.unroll, self.count = bptt.Full(), model.unroll(per=rows * steps), rows * steps
        self.carry: Carry = self.strategy.start(self.unroll, rows)
        self.parameters = list(model.parameters())

    def differentiate(self, ids: Tensor, targets: Tensor) -> float:
        (estimate,) = self.strategy.gradients(self.unroll, bptt.Window.of(ids, targets), self.carry)
        self.carry = estimate.carry
        return float(estimate.loss_sum) / self.count


def stepper(peer: Theirs | Ours, ids: Tensor, targets: Tensor) -> Callable[[], None]:
    """A function that makes one training step."""
    optimizer = torch.optim.Adam(peer.parameters, lr=1e-3, fused=True)

    def step() -> None:
        peer.differentiate(ids, targets)
        nn.utils.clip_grad_norm_(peer.parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def check(ours: Ours, theirs: Theirs, ids: Tensor, targets: Tensor) -> None:
    """The same losses and gradients, twice, so that the second time the states are not zero; and the kernel ran."""
    calls = library.loaded().calls
    for _ in range(2):
        losses = ours.differentiate(ids, targets), theirs.differentiate(ids, targets)
        assert abs(losses[0] - losses[1]) <= 1e-5 * losses[1], losses
        for mine, other in zip(ours.parameters, theirs.parameters, strict=True):
            assert mine.grad is not None and other.grad is not None
            assert (mine.grad - other.grad).norm() <= 1e-4 * other.grad.norm() > 0, mine.shape
            mine.grad = other.grad = None
    assert library.loaded().calls >= calls + 4, "the compiled kernel did not run"


def largest_kept(peer: Theirs | Ours, ids: Tensor, targets: Tensor) -> int:
    """Numbers of the largest floating tensor that autograd keeps between forward and backward, parameters aside."""
    largest = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal largest
        if tensor.is_floating_point() and (tensor.grad_fn is not None or not tensor.requires_grad):
            largest = max(largest, tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        peer.differentiate(ids, targets)
    for parameter in peer.parameters:
        parameter.grad = None
    return largest


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    machine, kernel = platform.processor() or platform.machine(), choose("gru").reason
    print(f"{machine}, torch {torch.__version__}, {args.threads} threads; {kernel}")
    for name, (cell, vocab, units, rows, steps) in CASES.items():
        torch.manual_seed(0)
        model = bptt.LanguageModel(cell, vocab=vocab, hidden_size=units, embedding_size=units)
        ids, targets = torch.randint(vocab, (2, rows, steps))
        theirs, ours = Theirs(model, cell, vocab, units), Ours(model, rows, steps)
        check(ours, theirs, ids, targets)
        kept = largest_kept(ours, ids, targets), largest_kept(theirs, ids, targets)
        steps_of = {"ours": stepper(ours, ids, targets), "torch": stepper(theirs, ids, targets)}
        times: dict[str, list[float]] = {peer: [] for peer in steps_of}
        for _ in range(args.rounds):
            for peer in random.sample(list(steps_of), 2):
                steps_of[peer]()  # caches still hold what the peer before used
                started = time.perf_counter()
                for _ in range(3):
                    steps_of[peer]()
                times[peer].append((time.perf_counter() - started) / 3)
        ratio = statistics.median(b / a for a, b in zip(times["ours"], times["torch"], strict=True))
        mine, other = (1e3 * statistics.median(times[peer]) for peer in ("ours", "torch"))
        print(
            f"{name}: V {vocab}, B {rows}, T {steps}, H {units}: {mine:.3g} ms, torch.nn {other:.3g} ms, × {ratio:.2f};",
            end=" ",
        )
        print(f"largest tensor kept {kept[0]:,} numbers, torch.nn {kept[1]:,}", flush=True)


if __name__ == "__main__":
    main()
