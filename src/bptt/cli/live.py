"""The live view on a terminal: two bars at most, the figures below them, epochs and samples above.

Knows rich and what `progress.State` has learnt. It draws from within the training loop, a few times a second: there is no
thread that could draw while a file is written or a signal handled.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bptt.cli.progress import SECONDS_BETWEEN_VIEWS, State, Story, on_terminal, sample_text
from bptt.training.listeners import Event, Listener


@contextlib.contextmanager
def live(state: State) -> Iterator[Listener]:
    """A listener that keeps the view up to date; the view is gone when the context ends."""
    console = Console(stderr=True, highlight=False)
    with Live(console=console, auto_refresh=False, transient=True) as shown:
        console.show_cursor(True)  # a second Ctrl-C ends the process at once: nothing could show it again
        yield View(state, shown)


@contextlib.contextmanager
def counting(name: str) -> Iterator[Callable[[int, int], None]]:
    """A function of (done, total) that keeps one bar up to date; without a terminal it shows nothing."""
    if not on_terminal():
        yield lambda done, total: None
        return
    last = 0.0
    with Live(console=Console(stderr=True, highlight=False), auto_refresh=False, transient=True) as shown:

        def count(done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last > SECONDS_BETWEEN_VIEWS:
                bars = Table.grid(padding=(0, 1))
                bars.add_row(*row(name, done / max(total, 1)))
                shown.update(bars, refresh=True)
                last = time.monotonic()

        yield count


class View:
    """Shows events as they come."""

    def __init__(self, state: State, shown: Live) -> None:
        self.state, self.shown, self.story = state, shown, Story(state)
        self.last = 0.0

    def __call__(self, event: Event) -> None:
        self.state.take(event)
        for line in self.story.lines(event):
            self.shown.console.print(Text(line))
        if event["event"] == "sample":
            prefix, text = sample_text(event)
            written = Text.assemble((prefix, "dim"), text)
            self.shown.console.print(Padding(written, (0, 2, 1, 2)))
        if time.monotonic() - self.last > SECONDS_BETWEEN_VIEWS:
            self.shown.update(view(self.state), refresh=True)
            self.last = time.monotonic()


def view(state: State) -> RenderableType:
    """A bar for the epoch, one for all epochs or, while it lasts, for the validation, and the figures."""
    bars = Table.grid(padding=(0, 1))
    several, pace = state.epochs > 1, " · ".join(state.pace())
    bars.add_row(*row(f"epoch {state.epoch}/{state.epochs}", state.done), f"update {state.step:,}" if several else pace)
    if state.checked is not None:
        done, total = state.checked
        bars.add_row(*row("validation", done / max(total, 1)), "")
    elif several:
        bars.add_row(*row("all epochs", (state.epoch - 1 + state.done) / state.epochs), pace)
    return Group(bars, Text(" · ".join(state.figures()), style="cyan"))


def row(name: str, share: float) -> tuple[str, ProgressBar, str]:
    """A bar of fixed width, so that nothing jumps, with its name and its share."""
    return name, ProgressBar(total=1.0, completed=share, width=30), f"{share:4.0%}"
