"""Between text and ids at both ends of generation: reading a prompt, and writing pieces of text as tokens come.

Knows a vocabulary and a step function; must not know models or files.
"""

from __future__ import annotations

import codecs
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from bptt.data import Vocabulary
from bptt.errors import InputError
from bptt.inference.generate import generate
from bptt.inference.step import Step
from bptt.types import State


def stream(
    step: Step,
    state: State,
    vocab: Vocabulary | None,
    prefix: str = "",
    *,
    length: int = 200,
    allow_reserved: bool = False,
    **sampling: Any,
) -> Iterator[str]:
    """Continue the text `prefix` by `length` tokens; pieces of text as they come, without the prefix.

    Arguments:
        step, state     as in `generate`
        prefix          read as the corpus was read; what the vocabulary does not know is <unk>, with one warning. Without any
                        token the model starts from `start_token(vocab)`.
        length          tokens (characters, words, bytes), not pieces
        allow_reserved  let <unk> and its like be generated; they show as they are spelled
        **sampling      temperature, top_k, top_p, seed as in `generate`

    A word comes with the space that joins it to what stands before it; a character of several bytes comes whole, and bytes
    that are no UTF-8 as U+FFFD. So `prefix + "".join(pieces)` is the whole text.
    Raises InputError for a model without vocabulary and as `generate`, at once.
    """
    vocab = known(vocab)
    ids = read(vocab, prefix)
    forbidden = () if allow_reserved else tuple(vocab.reserved.values())
    begin = ids.tolist() or [start_token(vocab)]
    return pieces(vocab, prefix, generate(step, state, begin, length=length, forbidden=forbidden, **sampling))


def known(vocab: Vocabulary | None) -> Vocabulary:
    """`vocab`, or an InputError where there is none."""
    if vocab is None:
        raise InputError(
            "This model knows only how many tokens there are, so it cannot read or write text",
            "no vocabulary",
            "Build it with vocab=corpus.vocab, or use its ids with bptt.inference.generate",
        )
    return vocab


def start_token(vocab: Vocabulary) -> int:
    """What a model reads where nothing comes before: <bos>, else <unk>, else a line feed, else the token of id 0."""
    for reserved in ("<bos>", "<unk>"):
        if reserved in vocab.reserved:
            return vocab.reserved[reserved]
    return int(vocab["\n"]) if "\n" in vocab else 0


def read(vocab: Vocabulary, text: str) -> np.ndarray:
    """The ids [N] of `text`; one warning if some of its tokens are unknown."""
    ids = vocab.encode(text)
    count = 0 if vocab.unknown is None else int(np.count_nonzero(ids == vocab.unknown))
    strange = sorted(set(vocab.tokenizer.split(text)) - set(vocab.spellings)) if count else []
    if strange:
        named = ", ".join(map(repr, strange[:5])) + (", …" if len(strange) > 5 else "")
        warnings.warn(f"{count} of {len(ids)} tokens are not in the vocabulary and are read as <unk>: {named}", stacklevel=4)
    return ids


def pieces(vocab: Vocabulary, before: str, ids: Iterable[int]) -> Iterator[str]:
    """The text of `ids` in pieces, none empty, that join to what stands `before`."""
    if vocab.unit == "byte":
        return decoded(ids)
    if vocab.unit == "word":
        return spaced(before, (vocab.tokens(token) for token in ids))
    return (vocab.tokens(token) for token in ids)


def decoded(values: Iterable[int]) -> Iterator[str]:
    """Bytes as UTF-8, each character as soon as its last byte is there."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for value in values:
        if text := decoder.decode(bytes([value])):
            yield text
    if text := decoder.decode(b"", final=True):
        yield text


def spaced(before: str, words: Iterable[str]) -> Iterator[str]:
    """Words, each with one space before it unless nothing, or white space already, stands there."""
    joint = " " if before and not before[-1].isspace() else ""
    for word in words:
        yield joint + word
        joint = " "
