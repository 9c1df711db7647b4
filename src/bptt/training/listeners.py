"""Who hears of what happens in a run: the metrics file, the samples file, TensorBoard, and whoever else is handed in.

An event is a dict with the key "event": start, resume, step, progress, epoch, valid, sample, end. A listener is any
function of one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bptt.files import to_json

Event = Mapping[str, Any]
Listener = Callable[[Event], None]


class MetricsFile:
    """metrics.jsonl: one JSON object per line and event; a checkpoint holds the offset from which a resumed run goes on."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.file = open(path, "ab")  # noqa: SIM115 - closed by close()
        # Lines after the checkpoint tell of steps that are about to be taken again.
        self.file.truncate(offset)

    def __call__(self, event: Event) -> None:
        if event["event"] != "progress":
            self.file.write(to_json({key: readable(value) for key, value in event.items()}).encode() + b"\n")

    def flush(self) -> int:
        """Everything on the disk; the length of the file."""
        self.file.flush()
        os.fsync(self.file.fileno())
        return self.file.tell()

    def close(self) -> None:
        self.file.close()


def readable(value: Any) -> Any:
    """JSON has no NaN and no infinity: null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


class SamplesFile:
    """samples.txt: what the model wrote as training went on, for people."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, event: Event) -> None:
        if event["event"] == "sample":
            with open(self.path, "a", encoding="utf-8", errors="replace") as file:
                file.write(f"—— epoch {event['epoch']}, update {event['step']}\n{event['prefix']}{event['text']}\n\n")


class TensorBoard:
    """TensorBoard event files: every number of every event, under event/key, by update."""

    def __init__(self, path: Path) -> None:
        from bptt.errors import InputError

        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError("TensorBoard is not installed", str(error), 'Run pip install "bptt[tensorboard]"') from error
        self.writer = SummaryWriter(str(path))

    def __call__(self, event: Event) -> None:
        kind, step = event["event"], event.get("step", 0)
        for key, value in event.items():
            if kind in ("step", "epoch", "valid") and isinstance(value, float) and math.isfinite(value):
                self.writer.add_scalar(f"{kind}/{key}", value, step)
        if kind == "sample":
            self.writer.add_text("sample", event["prefix"] + event["text"], step)

    def close(self) -> None:
        self.writer.close()
