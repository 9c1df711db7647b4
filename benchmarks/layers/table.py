"""Figures as tables, for a terminal or for Markdown.

Knows columns and words; must not know how a figure came about.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from rows import Row

NOTE = (
    "ms: forward and backward of the layer, median of paired rounds. “gates” and “lean” are the two memory modes of bptt, one "
    "and the same (=) for an Elman layer. ×: how many times faster than the better of torch.nn and JAX. GEMM: share of the "
    "rate of torch's own products at these shapes in the same rounds (GFLOP/s); what a rebuild computes counts as work. "
    "floats: stored for the backward pass per hidden unit, step and row."
)
ONE_MODE = "="
NONE = "–"


def layout(heads: Sequence[str], lines: Sequence[Sequence[str]], markdown: bool) -> str:
    """Columns in line, the first to the left and figures to the right; pipes between them in Markdown."""
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    left, right, between = ("| ", " |", " | ") if markdown else ("", "", "  ")

    def write(cells: Sequence[str]) -> str:
        figures = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        return left + between.join([cells[0].ljust(widths[0]), *figures]) + right

    rule = ["-" * widths[0], *("-" * (width - markdown) + ":" * markdown for width in widths[1:])]
    return "\n".join([write(heads), write(rule), *map(write, lines)])


def layers(rows: list[Row], markdown: bool) -> str:
    """The main table: sizes that were timed, geometric means, then what was refused."""
    timed = [row for row in rows if "wrong" not in row]
    others = [peer for peer in ("torch", "compile", "jax") if any(peer in row["ms"] for row in timed)]
    heads = ["size", "cell", "T", "B", "H", "I", "gates ms", "lean ms", *(f"{peer} ms" for peer in others)]
    heads += ["× gates", "× lean", "GEMM gates", "GEMM lean", "floats gates", "lean", "torch", "GFLOP/s"]
    parts = [layout(heads, [_line(row, others) for row in timed], markdown)] if timed else []
    if timed:
        parts.append(layout(["geometric mean", "sizes", "× gates", "× lean"], means(timed), markdown))
    parts += [f"Not timed: {row['name']}: {row['wrong']}" for row in rows if "wrong" in row]
    return "\n\n".join([*parts, NOTE])


def _line(row: Row, others: Sequence[str]) -> list[str]:
    def modes(key: str, form: str) -> list[str]:
        return [form.format(row[key][mode]) if mode in row[key] else ONE_MODE for mode in ("gates", "lean")]

    return [
        row["name"],
        row["cell"],
        *(f"{row[field]:,}" for field in ("steps", "rows", "units", "inputs")),
        *modes("ms", "{:.3g}"),
        *(f"{row['ms'][peer]:.3g}" if peer in row["ms"] else NONE for peer in others),
        *modes("ratio", "{:.2f}"),
        *modes("share", "{:.0%}"),
        *modes("floats", "{:.2f}"),
        f"{row['floats']['torch']:.2f}",
        f"{row['gflops']:.0f}",
    ]


def means(timed: list[Row]) -> list[list[str]]:
    """Per cell, over all its sizes."""
    lines = []
    for cell in dict.fromkeys(row["cell"] for row in timed):
        its = [row["ratio"] for row in timed if row["cell"] == cell]
        both = [statistics.geometric_mean(ratio.get(mode, ratio["gates"]) for ratio in its) for mode in ("gates", "lean")]
        lines.append([cell, str(len(its)), *(f"{mean:.2f}" for mean in both)])
    return lines


def scaling(fits: list[dict[str, Any]], markdown: bool) -> str:
    """Exponents of time."""
    lines = [
        [
            fit["cell"], fit["varied"], ", ".join(map(str, fit["sizes"])),
            ", ".join(f"{letter} {value}" for letter, value in fit["fixed"].items()),
            f"{fit['gates']:.2f}", f"{fit['torch']:.2f}",
        ]
        for fit in fits
    ]  # fmt: skip
    return layout(["time ∝ n^p", "n", "values", "others", "p bptt", "p torch"], lines, markdown)


def generation(found: list[dict[str, Any]], markdown: bool) -> str:
    """Microseconds per step."""
    lines = [
        [row["cell"], str(row["units"]), *(f"{row['us'][peer]:.1f}" for peer in ("bptt", "torch")), f"{row['ratio']:.2f}"]
        for row in found
    ]
    return layout(["generation, B 1", "H", "bptt µs/step", "torch µs/step", "×"], lines, markdown)


def long(found: list[dict[str, Any]], exponents: dict[str, float], markdown: bool) -> str:
    """Time and peak memory of very long sequences."""
    lines = [
        [
            row["cell"], f"{row['steps']:,}", str(row["units"]), f"{row['seconds']:.3g}", f"{row['bytes'] / 2**20:,.0f}",
            f"{row['floats']:.2f}", f"{exponents[row['cell']]:.3f}" if row["cell"] in exponents else NONE,
        ]
        for row in found
    ]  # fmt: skip
    return layout(["full BPTT, B 1", "T", "H", "s", "peak MiB", "floats", "exponent of time"], lines, markdown)
