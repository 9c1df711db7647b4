"""How much text tokens stand for, in characters and in bytes: what makes models of different units comparable.

Knows vocabularies and ids; must not know models or losses.
"""

from __future__ import annotations

import numpy as np

from bptt.data import Vocabulary

PIECE = 1 << 20  # ids looked at together: they may lie in a file larger than memory


def extent(vocab: Vocabulary, ids: np.ndarray) -> tuple[int, int]:
    """The characters and UTF-8 bytes that `ids` [N] add to the text before them.

    character  one each, so characters = N
    byte       a character counts where its first byte does
    word       its length and the space that joins it to the word before
    reserved   one character of one byte, the least that <unk> can stand for, so that bits per character are never too good

    >>> extent(Vocabulary.from_text("ab c", "word"), np.array([1, 2]))
    (5, 5)
    """
    counts = np.zeros(len(vocab), np.int64)
    for start in range(0, len(ids), PIECE):
        counts += np.bincount(ids[start : start + PIECE], minlength=len(vocab))
    sizes = np.array([[1, 1] if token in vocab.reserved.values() else size(vocab, token) for token in range(len(vocab))])
    characters, octets = counts @ (sizes + (vocab.unit == "word"))
    return int(characters), int(octets)


def size(vocab: Vocabulary, token: int) -> tuple[int, int]:
    """Characters and bytes of one token of the data."""
    if vocab.unit == "byte":
        return int(not 0x80 <= token < 0xC0), 1
    spelling = vocab.tokens(token)
    return len(spelling), len(spelling.encode("utf-8", "surrogatepass"))
