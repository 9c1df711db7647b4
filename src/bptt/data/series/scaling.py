"""Scaling: numbers that a network can read, fitted on the training part, and back.

    z = (g(x) − a) / b,  g one of x, log x, √x

Knows columns of numbers; must not know time. What it is fitted on is its caller's business, and must be the training part.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from bptt.errors import InputError, did_you_mean

TRANSFORMS = ("none", "log", "sqrt")
SCALES = ("standard", "minmax", "none")


@dataclasses.dataclass(frozen=True, eq=False)
class Scaling:
    """How columns [N, D] are scaled.

    transform  "none", "log" (values above 0: growth by factors becomes growth by terms) or "sqrt" (values from 0: counts)
    a, b       [D] shift and factor of each column

    The transform is for the first `columns` of the values, the targets; covariates may be negative and are only scaled.

    >>> fitted = Scaling.fit(np.array([[1.0], [3.0]]))
    >>> fitted(np.array([[5.0]])).item(), fitted.back(np.array([[3.0]])).item()
    (3.0, 5.0)
    """

    transform: str
    columns: int
    a: np.ndarray
    b: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, scale: str = "standard", transform: str = "none", columns: int | None = None) -> Scaling:
        """From the values [N, D] of the training part; holes are passed over.

        Arguments: scale, "standard" (mean 0, standard deviation 1), "minmax" (from 0 to 1) or "none".
        Raises InputError for values that the transform has no number for.
        """
        for name, value, known in (("scale", scale, SCALES), ("transform", transform, TRANSFORMS)):
            if value not in known:
                raise InputError(f"There is no such {name}", f"{name}={value!r}", did_you_mean(str(value), list(known)))
        unscaled = cls(
            transform, values.shape[1] if columns is None else columns, np.zeros(values.shape[1]), np.ones(values.shape[1])
        )
        seen = unscaled(values)
        if scale == "none":
            return unscaled
        a, b = (np.nanmean(seen, 0), np.nanstd(seen, 0)) if scale == "standard" else (np.nanmin(seen, 0), np.ptp(seen, 0))
        return dataclasses.replace(unscaled, a=a, b=np.where(b > 0, b, 1.0))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Scaled, [..., D]; for the first columns alone, give the first columns alone."""
        width = values.shape[-1]
        return (self._forward(values) - self.a[:width]) / self.b[:width]

    def back(self, scaled: np.ndarray) -> np.ndarray:
        """The values [..., D] that `scaled` stands for."""
        width = scaled.shape[-1]
        values = scaled * self.b[:width] + self.a[:width]
        targets = values[..., : self.columns]
        if self.transform == "log":
            targets = np.exp(np.minimum(targets, 700.0))
        if self.transform == "sqrt":
            targets = np.maximum(targets, 0.0) ** 2
        return np.concatenate([targets, values[..., self.columns :]], -1)

    def _forward(self, values: np.ndarray) -> np.ndarray:
        targets = values[..., : self.columns]
        if self.transform == "none":
            return values
        lowest = np.nanmin(targets) if targets.size else 1.0
        if lowest < 0 or (lowest == 0 and self.transform == "log"):
            todo = "Use transform none" if lowest < 0 else "Use transform sqrt, or none"
            raise InputError(f"There is no {self.transform} of some of the values", f"the smallest is {lowest:g}", todo)
        changed = np.log(targets) if self.transform == "log" else np.sqrt(targets)
        return np.concatenate([changed, values[..., self.columns :]], -1)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"transform": self.transform, "columns": self.columns, "a": self.a.tolist(), "b": self.b.tolist()}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Scaling:
        """What `to_json` described; ValueError for anything else."""
        a, b = (np.array(saved[name], dtype=np.float64) for name in ("a", "b"))
        if saved["transform"] not in TRANSFORMS or type(saved["columns"]) is not int or a.ndim != 1 or a.shape != b.shape:
            raise ValueError("this is no scaling")
        return cls(saved["transform"], saved["columns"], a, b)
