"""A small text, models for it, and settings with everything switched on that a resumed run must carry over."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import bptt
from bptt.data import Corpus, Tokens, Vocabulary
from bptt.training import checkpoint

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "seven", "wizards", "vex", "bold"]
TEXT = " ".join(random.Random(7).choices(WORDS, k=160))


def make_corpus(train: int = 400, valid: int = 80) -> Corpus:
    """The first `train` characters to train on, the next `valid` to validate."""
    vocab = Vocabulary.from_text(TEXT)
    ids = vocab.encode(TEXT)
    held_out = Tokens(ids[train : train + valid]) if valid else None
    return Corpus(Tokens(ids[:train]), held_out, None, vocab, {"sha256": "of the text"})


def make_model(cell: Any = "gru", seed: int = 3, **settings: Any) -> bptt.LanguageModel:
    """A model of that cell with 6 hidden units, dropout on."""
    torch.manual_seed(seed)
    made = {"hidden_size": 6, "dropout": 0.2, **settings}
    return bptt.LanguageModel(cell, vocab=Vocabulary.from_text(TEXT), **made)


SETTINGS: dict[str, Any] = {
    "gradient": bptt.Truncated(5, 8),
    "epochs": 2,
    "batch_size": 3,
    "steps": 17,
    "lr": 0.01,
    "seed": 11,
    "save_every": 4,
    "sample_length": 8,
    "device": "cpu",
}


def train(out: Path | None, cell: Any = "gru", *, corpus: Corpus | None = None, model: Any = None, **settings: Any) -> Any:
    """`fit` on the small text."""
    made = make_model(cell) if model is None else model
    return bptt.fit(made, make_corpus() if corpus is None else corpus, out=out, **{**SETTINGS, **settings})


TIMES = {"seconds", "tokens_per_second", "time"}


def events(run: Path) -> list[dict[str, Any]]:
    """What metrics.jsonl says of training, apart from times and from when the process began and ended."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    told = [line for line in lines if line["event"] in ("step", "epoch", "valid", "sample")]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in told]


def fingerprint(run: Path) -> str:
    """SHA-256 over everything that the newest checkpoint holds but times: weights, optimiser, carry, place, random states."""
    saved = checkpoint.load(run / "checkpoints")
    state = {key: value for key, value in saved.state.items() if key not in ("course", "journals")}
    return digest(
        [saved.step, sorted(saved.parameters.items()), state, saved.state["course"]["best"], saved.state["course"]["stalled"]]
    )


def digest(value: Any) -> str:
    """SHA-256 of a nest, tensors by type, shape and bytes."""
    from bptt.training.pack import pack

    tensors, skeleton = pack(value)
    found = hashlib.sha256(json.dumps(skeleton).encode())
    for name, tensor in tensors.items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return found.hexdigest()


class Crash(Exception):
    """What a listener raises to end a run in the middle."""


def crash_at(step: int, kinds: tuple[str, ...] = ("step",), epoch: int = 0) -> Callable[[Any], None]:
    """A listener that raises when an event of these kinds comes at update `step` and epoch `epoch` or later."""

    def listen(event: Any) -> None:
        if event["event"] in kinds and event["step"] >= step and event["epoch"] >= epoch:
            raise Crash(step)

    return listen
