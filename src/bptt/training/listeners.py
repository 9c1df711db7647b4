"""Who hears of what happens in a run: the metrics file, the samples file, TensorBoard, and whoever else is handed in.

An event is a dict with the key "event": start, resume, notice, step, progress, epoch, valid, sample, end. A
listener is any function of one.
"""

from __future__ import annotations

import abc
import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bptt.errors import InputError
from bptt.files import to_json

Event = Mapping[str, Any]
Listener = Callable[[Event], None]


class Journal(abc.ABC):
    """A file that grows with the run; a checkpoint holds its length, and a resumed run goes on from there."""

    def __init__(self, path: Path, length: int = 0) -> None:
        self.path = path
        # Never through a link: what it points at would be cut off.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o666)
        self.file = open(handle, "ab")  # noqa: SIM115 - closed by close()
        # What was written after the checkpoint tells of updates that are about to be made again.
        self.file.truncate(min(length, self.length()))

    @abc.abstractmethod
    def text(self, event: Event) -> str:
        """What to write of an event."""

    def __call__(self, event: Event) -> None:
        with self._named():
            self.file.write(self.text(event).encode("utf-8", "replace"))

    def length(self) -> int:
        """Everything on the disk; how much that is."""
        with self._named():
            self.file.flush()
            os.fsync(self.file.fileno())
            return os.fstat(self.file.fileno()).st_size

    def close(self) -> None:
        with self._named():
            self.file.close()

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """A failing disk does not say which file it was."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error


class MetricsFile(Journal):
    """metrics.jsonl: one JSON object per line and event, all but progress."""

    def text(self, event: Event) -> str:
        return "" if event["event"] == "progress" else to_json(readable(event)) + "\n"


class SamplesFile(Journal):
    """samples.txt: what the model wrote as training went on, for people."""

    def text(self, event: Event) -> str:
        if event["event"] != "sample":
            return ""
        return f"—— epoch {event['epoch']}, update {event['step']}\n{event['prefix']}{event['text']}\n\n"


JOURNALS: dict[str, Callable[[Path, int], Journal]] = {"metrics.jsonl": MetricsFile, "samples.txt": SamplesFile}


def readable(value: Any) -> Any:
    """JSON has no NaN and no infinity: null."""
    if isinstance(value, Mapping):
        return {key: readable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [readable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class TensorBoard:
    """TensorBoard event files: every number of every event, under event/key, by update."""

    def __init__(self, path: Path, step: int = 0) -> None:
        # What was written after update `step` is about to be written again.
        self.writer = self.required()(str(path), purge_step=step + 1 if step else None)

    @staticmethod
    def required() -> Any:
        """The writer's class; InputError where TensorBoard is not installed."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError("TensorBoard is not installed", str(error), 'Run pip install "bptt[tensorboard]"') from error
        return SummaryWriter

    def __call__(self, event: Event) -> None:
        kind, step = event["event"], event.get("step", 0)
        for key, value in event.items():
            if kind in ("step", "epoch", "valid") and isinstance(value, float) and math.isfinite(value):
                self.writer.add_scalar(f"{kind}/{key}", value, step)
        if kind == "sample":
            self.writer.add_text("sample", event["prefix"] + event["text"], step)

    def close(self) -> None:
        self.writer.close()
