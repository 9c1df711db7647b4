"""A forecast: what comes, how sure that is, and when. Knows numbers and names; must not know how it was made."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from bptt.data.series.times import show
from bptt.files import write_durably


@dataclasses.dataclass(frozen=True, eq=False)
class Forecast:
    """The steps after the end of a series.

    times         [H] dates, numbers, or step numbers where the series has no times
    mean          [H, targets]; for a model of absolute errors it is a median
    lower, upper  {level: [H, targets]}
    targets       names of the columns
    notes         what to know about it
    """

    times: np.ndarray
    mean: np.ndarray
    lower: dict[float, np.ndarray]
    upper: dict[float, np.ndarray]
    targets: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.mean)

    def rows(self) -> list[dict[str, Any]]:
        """One dict per step: time, then forecast and bounds of every target."""
        found = []
        for k, time in enumerate(self.times):
            row: dict[str, Any] = {"time": show(time)}
            for i, name in enumerate(self.targets):
                row[name] = float(self.mean[k, i])
                for level in self.lower:
                    row[f"{name} lower {level:g}"] = float(self.lower[level][k, i])
                    row[f"{name} upper {level:g}"] = float(self.upper[level][k, i])
            found.append(row)
        return found

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """The rows as CSV, and into a file if one is named."""
        rows, text = self.rows(), io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        if path is not None:
            write_durably(Path(path), text.getvalue())
        return text.getvalue()
