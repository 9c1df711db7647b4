"""What the tests of the command line share: a small text, flags for a small run, and what a command left."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

TEXT = "".join(f"the {n % 7} cats saw {n % 5} dogs; “{n % 11}” 猫.\n" for n in range(60))
SMALL = (
    *("--hidden-size", "8", "--batch-size", "4", "--steps", "16", "--gradient", "truncated:k1=16", "--epochs", "2"),
    *("--threads", "1", "--sample-length", "20", "--dtype", "float64"),
)


@dataclasses.dataclass
class Ended:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON value."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """Lines on standard error."""
        return self.err.splitlines()


Cli = Callable[..., Ended]


def events(run: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without what differs between two equal runs: the time."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    timeless = [{k: v for k, v in line.items() if k not in ("seconds", "tokens_per_second", "time")} for line in lines]
    return [line for line in timeless if line["event"] != "resume"]
