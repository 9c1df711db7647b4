"""From what a user has, a model and a text or windows, to what is measured on: a precise copy of the model, and a probe.

Knows models, corpora and windows; must not know what is measured. Nothing that is handed in is changed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch

from bptt import nest
from bptt.data import Corpus, Tokens
from bptt.data.series import SeriesData, SeriesPart
from bptt.diagnostics.probes import Probe, anew, find_probes, like_parameters, training_stream
from bptt.errors import ContractError, InputError
from bptt.models import LanguageModel, SeriesModel, Unroll
from bptt.types import Window

DROPOUT_OFF = "Dropout of torch.nn was off: it would have drawn another mask for each gradient"

Data = Corpus | Tokens | SeriesData | SeriesPart | Window | Iterable[Window]


def precise(model: LanguageModel | SeriesModel | Unroll, dtype: torch.dtype = torch.float64) -> Unroll:
    """A copy of the unrolled model in `dtype`, as it is in training; without dropout where that would draw another mask each
    time it is run. InputError for a model that looks ahead."""
    unroll = model.unroll() if isinstance(model, LanguageModel | SeriesModel) else model
    if not isinstance(unroll, Unroll):
        raise ContractError("This is no unrolled model", type(model).__name__, "Give a LanguageModel or a bptt.Unroll")
    if not unroll.causal:
        raise InputError("A model that looks ahead has no gradient by lag", "a bidirectional layer", "Use one direction")
    own = copy.deepcopy(unroll).to(dtype).train()
    own.per, own.autocast = 1.0, None
    return own if own.repeatable else own.eval()


def excerpt(
    unroll: Unroll,
    data: Data,
    steps: int,
    rows: int,
    *,
    window: int | None = None,
    sampling: str = "sequential",
    block: int | None = None,
) -> Probe:
    """A probe of `rows` rows and `steps` steps, fewer where there are not so many, with a state warmed up before it.

    Arguments: unroll, from `precise`; data, a corpus (its validation part if that is long enough, else its training part),
    tokens, or windows, as a stream hands them out. A text is read as `sampling` would, in windows of `window` steps and blocks
    of `block`; it gives the steps before the probe to warm up the state, as many again. Windows give what they have beyond
    `steps`, and at least a fifth; if rows start anew in the first half of a probe, it begins with them.
    """
    if isinstance(data, Corpus | SeriesData):
        data = part_of(data, steps)
    if not isinstance(data, Tokens | SeriesPart):
        return _of_windows(unroll, [data] if isinstance(data, Window) else data, steps, rows)
    targets = len(data) - 1
    rows = max(1, min(rows, targets // (2 * steps)))
    steps = min(steps, targets // rows // 2)
    _require(steps)
    if sampling == "random" and window is not None and window < steps:
        steps -= steps % window  # whole windows
    stream = training_stream(data, rows, window or steps, steps, sampling, block, 0)
    return find_probes(unroll, stream, steps=steps, count=1)[0]


def part_of(corpus: Corpus | SeriesData, steps: int) -> Tokens | SeriesPart:
    """The validation part if it holds one row, else the training part."""
    return corpus.valid if corpus.valid is not None and len(corpus.valid) > 2 * steps else corpus.train


def _of_windows(unroll: Unroll, windows: Iterable[Window], steps: int, rows: int) -> Probe:
    taken: list[Window] = []
    for window in windows:
        window = window[:rows, :]
        if taken and window.batch_size != taken[0].batch_size:
            break
        taken.append(window)
        if sum(part.steps for part in taken) >= 2 * steps:
            break
    joined = like_parameters(unroll, Window.cat(*taken)) if taken else None
    steps = 0 if joined is None else min(steps, joined.steps - joined.steps // 5)
    _require(steps)
    assert joined is not None
    start = joined.steps - steps
    start = next((first for first in anew(joined) if start <= first <= start + steps // 2), start)
    with torch.no_grad():
        state = unroll.initial_state(joined.batch_size)
        state = unroll.segment(joined[:, :start], state)[1] if start else state
    return Probe(joined[:, start:], nest.detach(state))


def _require(steps: int) -> None:
    if steps < 2:
        raise InputError("There are too few steps to look back on", f"{steps}", "Give a longer text, or more windows")
