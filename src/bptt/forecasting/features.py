"""What a recurrent forecaster reads and says at a step, the same for training and for feeding back.

    reads at t   y_t, with anchor "season" also y_t − y_{t−m}, sines and cosines of step t+1, what is known of step t+1
    says at t    y_{t+k} − anchor, k = 1 … K: the anchor is 0, y_t, or y_{t+k−m⌈k/m⌉}

A network that is taught reads nothing of y_t but what step t−1 should have said, y_t − anchor, as its last inputs: where a step
is not forced it has what it said in the place of that, and what it should have said must not come in beside it.

Knows scaled values and step numbers; must not know networks or training.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from bptt.data.series import SeriesPart


@dataclasses.dataclass(frozen=True)
class Features:
    """How steps become inputs and targets.

    period      m; 1 where there is no season
    anchor      "none", "last" or "season"
    steps       K: 1 for a recursive head, the horizon for a direct one
    columns     D, how many columns are read
    said        how many of them are said: all where they are fed back
    harmonics   pairs of sin(2πjt/m), cos(2πjt/m)
    knowns      how many columns are known beforehand
    taught      whether the last inputs are what the step before should have said
    """

    period: int
    anchor: str
    steps: int
    columns: int
    said: int
    harmonics: int
    knowns: int
    taught: bool = False

    @property
    def inputs(self) -> int:
        """I."""
        seen = self.said if self.taught else self.columns * (1 + (self.anchor == "season"))
        return seen + 2 * self.harmonics + self.knowns

    @property
    def outputs(self) -> int:
        """O."""
        return self.steps * self.said

    @property
    def reach(self) -> int:
        """How many steps there must be before a forecast: enough for its anchor."""
        return self.period if self.anchor == "season" else 1

    def read(self, now: np.ndarray, before: np.ndarray, ago: np.ndarray, coming: np.ndarray, known: np.ndarray) -> np.ndarray:
        """The inputs [n, I] from y_t, y_{t−1} and y_{t−m} [n, D], the step numbers t+1 [n], and what is known of t+1 [n, K]."""
        parts = [known]
        if self.harmonics:
            angle = 2 * np.pi / self.period * coming[:, None] * np.arange(1, self.harmonics + 1)
            parts = [np.sin(angle), np.cos(angle), known]
        if self.taught:
            anchor = {"none": np.zeros_like(now), "last": before, "season": ago}[self.anchor]
            return np.concatenate([*parts, (now - anchor)[:, : self.said]], 1)
        return np.concatenate([now, now - ago, *parts] if self.anchor == "season" else [now, *parts], 1)

    def all_read(self, values: np.ndarray, known: np.ndarray, start: int) -> np.ndarray:
        """The inputs of every step [N, I]; before there is an anchor, a difference to it is 0."""
        at = np.arange(len(values))
        before, ago = values[np.maximum(at - 1, 0)], values[np.where(at >= self.period, at - self.period, at)]
        coming = known[np.minimum(at + 1, len(known) - 1)]
        return self.read(values, before, ago, start + at + 1, coming)

    def anchors(self, season: np.ndarray) -> np.ndarray:
        """What is added to what is said at t: [n, K, said], from the m values up to y_t, oldest first, [n, m, D]."""
        said = season[..., : self.said]
        if self.anchor == "none":
            return np.zeros((len(said), self.steps, self.said))
        if self.anchor == "last":
            return np.repeat(said[:, -1:], self.steps, 1)
        return said[:, np.arange(self.steps) % self.period]

    def part(self, values: np.ndarray, seen: np.ndarray, known: np.ndarray, start: int, dtype: type) -> SeriesPart:
        """Inputs and targets of every step, from scaled values without holes [N, D] and which of them were seen [N, D]."""
        count, width = len(values), self.period if self.anchor == "season" else 1
        at = np.arange(count)
        season = values[np.maximum(at[:, None] + np.arange(1 - width, 1), 0)]
        ahead = at[:, None] + np.arange(1, self.steps + 1)
        there = np.minimum(ahead, count - 1)
        said = values[there][..., : self.said] - self.anchors(season)
        # An anchor that lies before the beginning is none.
        early = (at + 1 < self.reach)[:, None, None]
        known_there = seen[there][..., : self.said] & (ahead < count)[..., None] & ~early
        targets = np.stack([np.where(known_there, said, 0.0), known_there], -1).reshape(count, self.outputs, 2)
        inputs = self.all_read(values, known, start)
        return SeriesPart(inputs.astype(dtype), targets.astype(dtype), known_there.any((1, 2)))
