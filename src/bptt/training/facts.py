"""What a run says of its data: corpus.json, for the report.

Knows corpora and streams; must not know training.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bptt.data import Corpus, Stream
from bptt.data.series import SeriesData

PIECE = 1 << 22


def corpus_facts(corpus: Corpus | SeriesData, stream: Stream) -> dict[str, Any]:
    """The corpus's own facts, how it is cut into windows, and its most frequent tokens, as plain JSON."""
    cut = {"batch_size": stream.batch_size, "steps": stream.steps, "notes": [*corpus.notes, *stream.notes]}
    facts = {**corpus.facts, **cut}
    return {**facts, "frequent": frequent(corpus)} if isinstance(corpus, Corpus) and corpus.vocab is not None else facts


def frequent(corpus: Corpus, most: int = 30) -> list[list[Any]]:
    """The most frequent tokens of the training part, [token, how often], the smaller id first among equals."""
    counts = np.zeros(len(corpus.vocab), np.int64)
    ids = corpus.train.ids
    for start in range(0, len(ids), PIECE):  # in pieces: counting widens the ids, which may be more than fits in memory
        counts += np.bincount(ids[start : start + PIECE], minlength=len(counts))
    order = np.argsort(-counts, kind="stable")[:most]
    return [[corpus.vocab.tokens(int(i)), int(counts[i])] for i in order if counts[i]]
