"""Counting is right: against dictionaries, in one piece and in many, for any type of ids."""

from __future__ import annotations

import numpy as np
import pytest
from naive import counts, followed

from bptt import InputError
from bptt.counting import count


def text(length: int = 157, size: int = 7, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).choice(size - 1, size=length, p=[0.4, 0.25, 0.15, 0.1, 0.06, 0.04])


@pytest.mark.parametrize("piece", [1, 2, 13, 156, 157, 1000])
@pytest.mark.parametrize("dtype", ["u1", "<u2", "i4", "i8", "u8"])
def test_every_n_gram_is_counted_once(piece, dtype):
    ids = text()
    grams = count(ids.astype(dtype), 5, 7, piece=piece)
    for n in range(1, 6):
        found = {tuple(map(int, gram)): int(c) for gram, c in zip(grams.ids(n), grams.levels[n - 1].counts, strict=True)}
        assert found == dict(counts(ids.tolist(), n)) and len(found) > n
        assert sum(found.values()) == len(ids) - n + 1
        assert list(found) == sorted(found)


def test_parents_suffixes_and_totals_are_those_of_the_n_grams():
    ids = text()
    grams = count(ids, 4, 7, piece=50)
    for n in range(2, 5):
        level, shorter = grams.levels[n - 1], grams.ids(n - 1).tolist()
        for gram, parent, suffix, token in zip(grams.ids(n).tolist(), level.parents, level.suffixes, level.tokens, strict=True):
            assert (shorter[parent], shorter[suffix], token) == (gram[:-1], gram[1:], gram[-1])
        assert grams.totals(n).tolist() == [followed(ids.tolist(), tuple(context)) for context in shorter]
    assert grams.totals(1).tolist() == [157]


def test_the_last_context_of_the_text_is_not_followed_by_its_end():
    assert count([0, 1, 0, 2], 2, 3).totals(2).tolist() == [2, 1, 0]


def test_walk_and_find_know_what_was_seen_and_what_was_not():
    ids, other = text(), text(60, seed=8)
    grams = count(ids, 3, 7)
    for n, nodes in enumerate(grams.walk(other), 1):
        known = grams.ids(n).tolist()
        assert len(nodes) == 60 - n + 1
        for start, node in enumerate(nodes):
            gram = other[start : start + n].tolist()
            assert (known[node] == gram) if gram in known else node == -1
            assert grams.find(gram) == node
    assert any((nodes < 0).any() for nodes in grams.walk(other))
    assert grams.find([]) == 0 and grams.find([6]) == -1 and grams.find([6, 0]) == -1


def test_an_n_gram_as_long_as_the_text():
    grams = count([4, 2, 4], 3, 5)
    assert grams.ids(3).tolist() == [[4, 2, 4]] and [len(nodes) for nodes in grams.walk(np.array([4]))] == [1, 0, 0]


def test_progress_ends_with_all_n_grams():
    told = []
    count(text(100), 3, 7, lambda done, total: told.append((done, total)), piece=30)
    assert told[-1] == (297, 297) and told == sorted(told)


@pytest.mark.parametrize(
    "ids, order, named",
    [
        ([], 1, "at least one"),
        ([[1, 2]], 1, "one row"),
        ([0.5], 1, "float64"),
        ([0, 3], 1, "ids from 0 to 3"),
        ([-1, 2], 1, "ids from -1"),
        ([0, 1], 0, "order=0"),
        ([0, 1], True, "order=True"),
        ([0, 1], 2.0, "order=2.0"),
        ([0, 1], 3, "shorter than one n-gram"),
    ],
)
def test_what_cannot_be_counted_is_said(ids, order, named):
    with pytest.raises(InputError, match=named):
        count(np.array(ids) if ids else np.array([], np.int64), order, 3)
