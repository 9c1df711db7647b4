"""The vocabulary: which id stands for which token, both ways.

Knows tokens, ids and the tokenizer that makes tokens of text; must not know files or models. It belongs to the model: it is
saved with it, and its fingerprint says whether two models speak of the same ids.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from bptt.data.numbering import numbering, smallest_dtype
from bptt.data.tokenizer import BYTES, Tokenizer
from bptt.errors import CheckpointError, InputError

FORMAT = "bptt-vocabulary-1"


class Vocabulary:
    """Reserved tokens first, then the data's tokens; ids count from 0.

    tokens        the data's distinct tokens in the order of their ids
    reserved      tokens with a meaning of their own, such as <unk> (stands for every unknown token), <pad>, <bos>, <eos>
    tokenizer     how text becomes tokens
    map_reserved  False: a token of the data that is spelled like a reserved one is a token of its own (a corpus may hold a
                  literal "<unk>"). True: the spelling means the reserved token.

    The vocabulary of bytes is the 256 bytes, id = value, and has no reserved tokens: no byte is unknown.
    `decode(encode(text)) == text` for characters and bytes if all are known; `encode(decode(ids)) == ids` for words, <unk>
    included. Other reserved words come back only with `map_reserved`: without it their spelling in a text means nothing.

    >>> vocab = Vocabulary.from_text("banana")
    >>> vocab.tokens([0, 1, 2, 3]), vocab["n"], vocab[["b", "x"]], vocab.decode(vocab.encode("nab"))
    (['<unk>', 'a', 'n', 'b'], 2, [3, 0], 'nab')
    """

    def __init__(
        self,
        tokens: Sequence[str],
        *,
        reserved: Sequence[str] = ("<unk>",),
        tokenizer: Tokenizer | None = None,
        map_reserved: bool = False,
    ) -> None:
        self.tokenizer = tokenizer or Tokenizer()
        self.map_reserved = map_reserved
        check_distinct(tokens, reserved, self.tokenizer.unit, map_reserved)
        self.reserved = {token: i for i, token in enumerate(reserved)}
        self.spellings = (*reserved, *tokens)
        self._ids = {token: i for i, token in enumerate(tokens, start=len(reserved))}
        if map_reserved:
            self._ids.update(self.reserved)

    @classmethod
    def from_text(cls, text: str, unit: str = "char", **settings: Any) -> Vocabulary:
        """The vocabulary of `text`, most frequent tokens first; `settings` (min_freq, limit, reserved, …) as `from_counts`."""
        tokenizer, index = Tokenizer(unit), numbering(unit)
        numbers = np.concatenate([np.empty(0, np.int64), *(index.number(chunk) for chunk in tokenizer.chunks([text]))])
        counts = np.bincount(numbers.astype(np.int64), minlength=len(index.tokens))
        return cls.from_counts(index.tokens, counts, tokenizer=tokenizer, **settings)

    @classmethod
    def from_counts(
        cls,
        tokens: Sequence[str],
        counts: np.ndarray,
        *,
        tokenizer: Tokenizer,
        min_freq: int = 0,
        limit: int | None = None,
        reserved: Sequence[str] = ("<unk>",),
        map_reserved: bool = False,
    ) -> Vocabulary:
        """The vocabulary of `tokens`, given in order of first appearance, that occur `counts` times.

        Sorted by frequency, ties by first appearance. Tokens that occur fewer than `min_freq` times, or never, are left out;
        of the others the most frequent stay, so that the whole vocabulary, reserved tokens included, has at most `limit`.
        """
        if tokenizer.unit == "byte":
            return cls._of_bytes(tokenizer, min_freq, limit, reserved)
        if limit is not None and limit <= len(reserved):
            raise InputError("The limit leaves no room for data", f"limit {limit}, {len(reserved)} reserved", "Raise the limit")
        taken = set(reserved) if map_reserved else set()
        order = np.argsort(-counts, kind="stable")
        kept = [tokens[i] for i in order[counts[order] >= max(1, min_freq)] if tokens[i] not in taken]
        if len(counts) and (top := int(max(counts))) < min_freq:
            most = f"the most frequent token occurs {top} times, min_freq is {min_freq}"
            raise InputError("No token of the text is frequent enough for the vocabulary", most, "Lower min_freq")
        room = None if limit is None else limit - len(reserved)
        return cls(kept[:room], reserved=reserved, tokenizer=tokenizer, map_reserved=map_reserved)

    @classmethod
    def _of_bytes(cls, tokenizer: Tokenizer, min_freq: int, limit: int | None, reserved: Sequence[str]) -> Vocabulary:
        if min_freq > 1 or (limit is not None and limit < 256) or set(reserved) - {"<unk>"}:
            given = f"min_freq {min_freq}, limit {limit}, reserved {list(reserved)}"
            raise InputError("The vocabulary of bytes is always the 256 bytes", given, "Leave min_freq, limit and reserved out")
        return cls(BYTES, reserved=(), tokenizer=tokenizer)

    def __len__(self) -> int:
        return len(self.spellings)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.spellings)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} {self.unit} tokens, {len(self.reserved)} of them reserved)"

    def __contains__(self, token: str) -> bool:
        return token in self._ids or token in self.reserved

    @property
    def unit(self) -> str:
        """What a token is: "char", "word", "byte" or "chinese-word"."""
        return self.tokenizer.unit

    @property
    def unknown(self) -> int | None:
        """The id of <unk>, or None where nothing stands for unknown tokens."""
        return self.reserved.get("<unk>")

    def __getitem__(self, token: Any) -> Any:
        """The id of a token, or the ids of a (nested) list of tokens.

        A token of the data comes before a reserved one of the same spelling (that one is `vocab.reserved[token]`), and an
        unknown token is <unk>; InputError where there is no <unk>.
        """
        if isinstance(token, list | tuple):
            return [self[part] for part in token]
        return self.reserved[token] if token in self.reserved and token not in self._ids else int(self.ids_of([token])[0])

    def ids_of(self, tokens: Sequence[str]) -> np.ndarray:
        """The ids of tokens of data, in the smallest type that holds them. A reserved spelling has no special meaning here
        unless `map_reserved`; unknown tokens are <unk>, or an InputError where there is none."""
        fallback = -1 if self.unknown is None else self.unknown
        ids = np.fromiter((self._ids.get(token, fallback) for token in tokens), dtype=np.int64, count=len(tokens))
        if fallback < 0 and (ids < 0).any():
            given = repr(tokens[int(np.argmin(ids))])
            raise InputError("A token is not in the vocabulary, and no <unk> stands for it", given, 'Reserve "<unk>"')
        return ids.astype(self.dtype)

    @property
    def dtype(self) -> np.dtype:
        """The smallest integer type that holds every id."""
        return smallest_dtype(len(self))

    def tokens(self, ids: Any) -> Any:
        """The token of an id, or the tokens of a (nested) list, array or tensor of ids."""
        ids = ids.tolist() if hasattr(ids, "tolist") else ids
        if isinstance(ids, list | tuple):
            return [self.tokens(part) for part in ids]
        if not 0 <= ids < len(self):
            raise InputError("No token has this id", f"{ids}, of {len(self)}", f"Give ids from 0 to {len(self) - 1}")
        return self.spellings[ids]

    def encode(self, text: str) -> np.ndarray:
        """The ids [N] of `text`, read as the corpus was read."""
        index = numbering(self.unit)
        numbers = [index.number(chunk) for chunk in self.tokenizer.chunks([text])]
        table = self.ids_of(index.tokens)
        return table[np.concatenate(numbers)] if numbers else table[:0]

    def decode(self, ids: Any) -> str:
        """The text of `ids` [N], a list, array or tensor; reserved tokens show as they are spelled."""
        return self.tokenizer.join(self.tokens(ids))

    def opening(self, ids: np.ndarray) -> str:
        """The text of `ids`; empty where it is not what was read (an unknown token, a character cut in two)."""
        text = self.decode(ids)
        said = np.array_equal(self.encode(text), ids) and not np.isin(ids, list(self.reserved.values())).any()
        return text if said else ""

    def to_json(self) -> dict[str, Any]:
        """Everything as a plain dict, for `json.dump`."""
        own = {"format": FORMAT, "reserved": list(self.reserved), "tokens": list(self.spellings[len(self.reserved) :])}
        return {**own, "map_reserved": self.map_reserved, **dataclasses.asdict(self.tokenizer)}

    @classmethod
    def from_json(cls, saved: Any) -> Vocabulary:
        """The vocabulary that `to_json` gave; CheckpointError for anything else."""
        try:
            tokens, reserved = strings(saved["tokens"]), strings(saved["reserved"])
            tokenizer = Tokenizer(**{field.name: saved[field.name] for field in dataclasses.fields(Tokenizer)})
            if saved["format"] != FORMAT or {type(saved["map_reserved"]), type(tokenizer.lower)} != {bool}:
                raise ValueError(f"format {saved['format']!r}")
            return cls(tokens, reserved=reserved, tokenizer=tokenizer, map_reserved=saved["map_reserved"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError("This is not a saved vocabulary", str(error)[:200], "Use an undamaged one") from error

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content: equal for two vocabularies if and only if they read and write alike."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()


def strings(values: Any) -> list[str]:
    """`values` if it is a list of strings, else a TypeError."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("not a list of strings")
    return values


def check_distinct(tokens: Sequence[str], reserved: Sequence[str], unit: str, map_reserved: bool) -> None:
    """InputError unless every token of data and every reserved one is there once, and spelled as the unit has it."""
    for name, group in (
        ("token", tokens),
        ("reserved token", reserved),
        ("token", [*tokens, *reserved] if map_reserved else []),
    ):
        if len(set(group)) < len(group):
            raise InputError(f"A {name} is there twice", f"{len(group)}, {len(set(group))} distinct", "Give each of them once")
    if unit == "char" and any(len(token) != 1 for token in tokens):
        raise InputError("A character token is one character", repr(max(tokens, key=len)), "Give single characters")
    if unit == "byte" and (tuple(tokens) != BYTES or reserved):
        raise InputError("The vocabulary of bytes is the 256 bytes", f"{len(tokens)} tokens", "Give those, in order")
    if unit == "word" and any(token.split() != [token] for token in tokens):
        raise InputError("A word holds no white space and at least one character", "one that does not", "Split it")
