"""Small runs, each described by a word on the command line: trained by as many processes as torchrun's variables say.

    RANK=0 WORLD_SIZE=2 MASTER_ADDR=… MASTER_PORT=… python trained_in_ranks.py FOLDER WORD …

Each process leaves FOLDER/WORD-RANK.safetensors with the parameters. A process trains all cases: what takes
its time is to start.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import bptt
from bptt.data import Corpus, Tokens, Vocabulary
from bptt.ranks import ALONE, Ranks
from bptt.training import join

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "seven", "wizards", "vex", "bold"]
TEXT = " ".join(random.Random(5).choices(WORDS, k=160))
SETTINGS: dict[str, Any] = {
    **{"epochs": 1, "batch_size": 5, "steps": 17, "lr": 0.05, "clip": 0.5, "seed": 11, "threads": 1, "device": "cpu"},
    **{"dtype": "float64", "sample_every": 0, "optimizer": "sgd", "momentum": 0.9},
}
CUT = 7
LONG = {"save_every": 3, "epochs": 2, "sample_every": 1, "sample_length": 5}


class Dropping(nn.Module):
    """A cell with torch's own dropout, whose masks come from the generator of the process; its initial state is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.drop = nn.RNNCell(6, 6), nn.Dropout(0.3)
        self.first = nn.Parameter(torch.randn(6) * 0.3)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.first.expand(batch_size, -1)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = self.cell(self.drop(x), state)
        return state, state


class Learned(Dropping):
    """The same without dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Identity()


class Crooked(bptt.Truncated):
    """Breaks its contract: where it cuts depends on the process."""

    def length(self, memory: Any) -> float:
        return self.k1 + int(os.environ.get("RANK", "0"))


# By name: the settings that differ, and the cell.
CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "full": ({"gradient": bptt.Full()}, "gru"),
    "truncated": ({"gradient": bptt.Truncated(5)}, "lstm"),
    "overlapping": ({"gradient": bptt.Truncated(4, 9)}, "rnn"),
    "window": ({"gradient": bptt.Truncated(5, update="window")}, Learned),
    "randomized": ({"gradient": bptt.Randomized(6, tail=4, seed=3)}, "gru"),
    "adaptive": ({"gradient": bptt.Adaptive(0.3, limit=12, every=40)}, "rnn"),
    "peroutput": ({"gradient": bptt.PerOutput(3)}, "rnn"),
    "checkpointed": ({"gradient": bptt.Checkpointed(slots=3)}, "lstm"),
    "telescoping": ({"gradient": bptt.Telescoping(8, seed=2)}, "gru"),
    "rtrl": ({"gradient": bptt.RTRL(every=4), "steps": 9, "batch_size": 15}, "rnn"),
    "uoro": ({"gradient": bptt.UORO(every=3, seed=4), "steps": 9, "batch_size": 15}, "gru"),
    "kfrtrl": ({"gradient": bptt.KFRTRL(every=3, seed=4), "steps": 9, "batch_size": 15}, "rnn"),
    "eprop": ({"gradient": bptt.EProp(every=3, feedback="random"), "steps": 9, "batch_size": 15}, "gru"),
    "synthetic": ({"gradient": bptt.SyntheticGradient(4, rate=0.5)}, "lstm"),
    "padded": ({"gradient": bptt.Truncated(5), "sampling": "random", "batch_size": 7}, "gru"),
    "single": ({"gradient": bptt.Truncated(5), "dtype": "float32", "optimizer": "adam", "momentum": 0.0, "lr": 0.01}, "gru"),
    "crooked": ({"gradient": Crooked(5)}, "rnn"),
    "on-gpus": ({"gradient": bptt.Truncated(5), "dtype": "float32", "device": "cuda"}, "gru"),
    "dropping": ({"gradient": bptt.Truncated(5, update="window"), **LONG}, Dropping),
    "long-adaptive": ({"gradient": bptt.Adaptive(0.3, limit=12, every=40), **LONG}, "gru"),
    "long-uoro": ({"gradient": bptt.UORO(every=3, seed=4), **LONG}, "lstm"),
    "long-overlapping": ({"gradient": bptt.Truncated(4, 9), **LONG}, "lstm"),
    "long-randomized": ({"gradient": bptt.Randomized(6, tail=4, seed=3), **LONG}, "rnn"),
}


def corpus() -> Corpus:
    """400 characters to train on, 60 to validate."""
    vocab = Vocabulary.from_text(TEXT)
    ids = vocab.encode(TEXT)
    return Corpus(Tokens(ids[:400]), Tokens(ids[400:460]), None, vocab, {"sha256": "of the text"})


def model(case: str, seed: int = 3) -> bptt.LanguageModel:
    """The model of a case, with dropout where masks are functions of the text."""
    cell = CASES[case][1]
    torch.manual_seed(seed)
    made = cell() if isinstance(cell, type) else cell
    width = 0 if case == "kfrtrl" else 6  # it takes no trained parameters before the layer
    return bptt.LanguageModel(made, vocab=Vocabulary.from_text(TEXT), hidden_size=6, embedding_size=width, dropout=0.2)


def train(case: str, ranks: Ranks = ALONE, *, seed: int = 3, **how: Any) -> tuple[bptt.Run, dict[str, Tensor]]:
    """The run of a case, and its parameters; beside them loss, gradient norm and tokens of every update, where it is told."""
    made, told = model(case, seed), list[Any]()
    listeners = [told.append, *how.pop("listeners", ())]
    run = bptt.fit(made, corpus(), ranks=ranks, listeners=listeners, **{**SETTINGS, **CASES[case][0], **how})
    updates = [[event["loss"], event["grad_norm"], event["tokens"]] for event in told if event["event"] == "step"]
    found = {name: value.detach().clone() for name, value in made.named_parameters()}
    return run, {**found, "updates": torch.tensor(updates, dtype=torch.float64)}


def cut_at(step: int) -> Any:
    """A listener that sends SIGTERM to its own process at an update, once."""

    def listen(event: Any) -> None:
        if event["event"] == "step" and event["step"] == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return listen


def cut(case: str, out: Path, ranks: Ranks = ALONE, *, seed: int = 3) -> None:
    """A run that is asked to leave at its `CUT`th update, and leaves."""
    try:
        train(case, ranks, seed=seed, out=out, listeners=[cut_at(CUT)])
    except bptt.Interrupted:
        return
    raise AssertionError("the run ended by itself")


def main(folder: Path, words: list[str]) -> None:
    """CASE: a run without files. CASE+whole, CASE+cut, CASE+resume: one in FOLDER/CASE-whole, -cut, -cut again."""
    ranks = join(timeout=120)
    seed = 3 + ranks.rank  # another model on every process: the first one's is spread
    for word in words:
        case, _, how = word.partition("+")
        if how.startswith("cut"):
            cut(case, folder / f"{case}-{how}", ranks, seed=seed)
            continue
        place = how.replace("resume", "cut")
        _, found = train(case, ranks, seed=seed, out=folder / f"{case}-{place}" if how else None, resume="resume" in how)
        save_file(found, folder / f"{word}-{ranks.rank}.safetensors")
    if ranks.size > 1:
        ranks.leave(well=True)  # type: ignore[attr-defined]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    os.fsync = lambda handle: None  # what reaches the disk when is tested by its own means
    main(Path(sys.argv[1]), sys.argv[2:])
