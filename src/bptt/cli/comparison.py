"""A comparison as tables and sentences on standard output. Knows a comparison; must not know how it is made or written."""

from __future__ import annotations

import io
import math
import shutil
import textwrap
from collections.abc import Callable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bptt.cli.ending import visible
from bptt.cli.output import figure
from bptt.diagnostics.comparison import Comparison, Row
from bptt.diagnostics.cost import Cost
from bptt.diagnostics.estimator import Accuracy
from bptt.diagnostics.race import Trial
from bptt.diagnostics.verdict import ROUNDING, share

NOTHING = "–"
COLUMNS = ("bias", "cosine", "variance", "S/N", "µs/{unit}", "memory", "weight")
NARROW = 96  # columns below which the arguments of a strategy go on a line of their own


def show(found: Comparison) -> None:
    """Tables no wider than the terminal, then what they say."""
    width = min(shutil.get_terminal_size((100, 24)).columns, 110)
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False, color_system=None)
    paragraph(setting(found), width)
    blocks = (by_block(found, width, "bias", bias), by_block(found, width, "cosine", cosine))
    for table in (overall(found, width), *blocks, race(found, width)):
        if table is not None:
            with console.capture() as drawn:
                console.print(table)
            print("", *(line.rstrip() for line in drawn.get().splitlines()), sep="\n")
    print()
    for line in said(found):
        paragraph(line, width)


def paragraph(text: str, width: int) -> None:
    """Lines no wider than `width`; a figure and its percent sign stay together."""
    filled = textwrap.fill(visible(text).replace(" %", "\u00a0%"), width, break_on_hyphens=False)
    print(filled.replace("\u00a0", " "))


def setting(found: Comparison) -> str:
    """On what the figures rest."""
    s = found.setting
    probes = f"{s['probes']} probe{'s' * (s['probes'] > 1)} of {s['batch_size']} × {s['probe_steps']} {s['unit']}s"
    draws = f", {s['draws']} draws each where there is chance" if any(row.strategy.random for row in found.rows) else ""
    sampled = "" if s["sampling"] == "sequential" else f", {s['sampling']} sampling"
    return f"{probes}, in windows of {s['steps']} steps{sampled}{draws}"


def said(found: Comparison) -> list[str]:
    """What could not run, the sentences, and what else is to be known."""
    failed = [f"{row.name} cannot run here: {row.reason}" for row in found.rows if row.reason]
    refused = {row.name for row in found.rows if row.reason}
    stopped = [trial for trial in (found.race.trials if found.race else ()) if trial.reason]
    failed += [f"{trial.name}: {trial.reason}" for trial in stopped if trial.points or trial.name not in refused]
    warned = [f"note: {row.name}: {note}." for row in found.rows if row.measured for note in row.measured.notes]
    return [*failed, *found.words(), *warned, *(f"note: {note}." for note in found.notes)]


def overall(found: Comparison, width: int) -> Table:
    """One line per strategy, the exact gradient's own first."""
    table = columns("", *(column.format(unit=found.setting["unit"]) for column in COLUMNS))
    exact = cost(found.exact)
    table.add_row("exact gradient", "", "", "", "", *exact, "")
    for row in found.rows:
        table.add_row(name(row.name, width), *figures(row))
    return table


def by_block(found: Comparison, width: int, what: str, cell: Callable[[Accuracy], str]) -> Table | None:
    """Something of each block of parameters; None where there is only one."""
    measured = [row for row in found.rows if row.measured is not None]
    blocks = list(dict.fromkeys(block for row in measured if row.measured for block in row.measured.blocks))
    if len(blocks) < 2:
        return None
    table = columns(f"{what} in", *blocks)
    for row in measured:
        own = row.measured.blocks if row.measured else {}
        table.add_row(name(row.name, width), *(cell(own[block]) if block in own else NOTHING for block in blocks))
    return table


def race(found: Comparison, width: int) -> Table | None:
    """Where each training run stood at its end."""
    if found.race is None:
        return None
    table = columns(f"after {found.race.seconds:g} s of training", "perplexity", "tokens", "updates")
    for trial in found.race.trials:
        table.add_row(name(trial.name, width), *ended(trial))
    return table


def ended(trial: Trial) -> list[str]:
    """Perplexity, tokens and updates of a training run at its end, or that it could not begin."""
    if not trial.points:
        return ["cannot run", NOTHING, NOTHING]
    return [figure(trial.perplexity), f"{trial.points[-1][1]:,}", f"{trial.updates:,}"]


def columns(first: str, *others: str) -> Table:
    """A table without lines: names to the left, figures to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    table.add_column(first, overflow="fold")
    for other in others:
        table.add_column(other, justify="right", overflow="fold")
    return table


def name(text: str, width: int) -> Text:
    """A strategy's name, on a narrow terminal with its arguments below it."""
    shown = visible(text)
    return Text(shown if width >= NARROW else shown.replace(":", ":\n  ", 1))


def figures(row: Row) -> list[str]:
    """The figures of a strategy under COLUMNS."""
    if row.measured is None or row.cost is None:
        return ["cannot run", *[NOTHING] * (len(COLUMNS) - 1)]
    total, weight = row.measured.total, row.measured.weight
    noise = [f"{total.variance:.2g}", f"{total.signal_to_noise:.3g}"] if row.strategy.random else [NOTHING, NOTHING]
    return [bias(total), cosine(total), *noise, *cost(row.cost), NOTHING if weight is None else f"{weight:.3g}"]


def bias(found: Accuracy) -> str:
    """The relative bias, or what it is at most where noise hides it."""
    if not found.resolved:
        return f"≤ {share(found.bias_limit)}"
    return "0" if found.bias < ROUNDING else share(found.bias)


def cosine(found: Accuracy) -> str:
    """Of the mean estimate and the exact gradient."""
    return NOTHING if math.isnan(found.cosine) else f"{found.cosine:.4f}"


def cost(found: Cost) -> list[str]:
    """Time per token and memory."""
    return [figure(float(f"{1e6 * found.seconds_per_token:.3g}")), memory(found.memory)]


def memory(count: int) -> str:
    """Bytes to three digits: 7.44 MiB."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20)):
        if count >= 0.9995 * size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1024:.0f} KiB"
