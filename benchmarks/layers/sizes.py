"""The shapes that are timed: published ones, by the name under which others report them.

Knows numbers; must not know how anything is run.
"""

from __future__ import annotations

from typing import NamedTuple

CELLS = ("rnn", "gru", "lstm")
GATES = {"rnn": 1, "gru": 3, "lstm": 4}


class Size(NamedTuple):
    """One layer: T steps of B rows, I inputs, H units."""

    cell: str
    steps: int
    rows: int
    inputs: int
    units: int

    @property
    def product(self) -> float:
        """Flops of one product of the layer's matrix [G·H, H + I] with all its inputs: 2·G·H·(H + I)·T·B."""
        return 2.0 * GATES[self.cell] * self.units * (self.units + self.inputs) * self.steps * self.rows

    @property
    def places(self) -> int:
        """Hidden units times steps times rows: what stored floats are divided by."""
        return self.steps * self.rows * self.units


def _each(*sizes: int) -> list[Size]:
    """The same shape for every cell."""
    return [Size(cell, *sizes) for cell in CELLS]


def _named(name: str, sizes: list[Size]) -> dict[str, Size]:
    """Several sizes under one name, which the cell then ends."""
    return {f"{name} {size.cell.upper()}": size for size in sizes}


# Where the source stacks layers, one of them, with its own width as input; where it reads characters, one-hot vectors.
PUBLISHED: dict[str, Size] = {
    "d2l time machine": Size("rnn", 35, 32, 28, 256),
    "DeepBench RNN 1760": Size("rnn", 50, 16, 1760, 1760),
    **{f"rnn-benchmarks RNN {n}": Size("rnn", 30, 32, n, n) for n in (128, 512, 1024)},
    "DeepBench GRU 1024": Size("gru", 100, 32, 1024, 1024),  # published with 1,500 steps
    "Chinese characters": Size("gru", 64, 32, 512, 512),
    "char-rnn": Size("lstm", 50, 50, 128, 128),
    "AWD-LSTM": Size("lstm", 70, 20, 1150, 1150),
    "fastrnns": Size("lstm", 100, 64, 512, 512),
    "DeepBench LSTM 256, B 16": Size("lstm", 150, 16, 256, 256),
    "DeepBench LSTM 256, B 64": Size("lstm", 150, 64, 256, 256),
    "DeepBench LSTM 512": Size("lstm", 25, 16, 512, 512),
    **{f"rnn-benchmarks LSTM {n}": Size("lstm", 30, 32, n, n) for n in (128, 512, 1024)},
    **_named("word model 200", _each(35, 20, 200, 200)),
    **_named("word model 650", _each(35, 20, 650, 650)),  # also Zaremba's medium LSTM
    **_named("stream 64, T 1,000", _each(1_000, 1, 64, 64)),
    **_named("stream 64, T 20,000", _each(20_000, 1, 64, 64)),
    **_named("stream 256, T 1,000", _each(1_000, 1, 256, 256)),
    **_named("stream 256, T 5,000", _each(5_000, 1, 256, 256)),
}

# Odd widths among them, so that a quick look also meets the edges of tiles.
QUICK: dict[str, Size] = {
    **_named("small batch", _each(20, 7, 31, 65)),
    **_named("short stream", _each(300, 1, 64, 64)),
}


def lines(cell: str, quick: bool) -> dict[str, list[Size]]:
    """For each of T, H and B: sizes that differ in it alone (in H: with as many inputs as units)."""
    times, widths, batches = ((16, 32, 64), (32, 64, 128), (1, 4, 16)) if quick else (
        (32, 64, 128, 256, 512), (64, 128, 256, 512), (1, 4, 16, 64)
    )  # fmt: skip
    steps, rows, units = (16, 4, 32) if quick else (64, 32, 256)
    return {
        "T": [Size(cell, steps, rows, units, units) for steps in times],
        "H": [Size(cell, steps, rows, units, units) for units in widths],
        "B": [Size(cell, steps, rows, units, units) for rows in batches],
    }
