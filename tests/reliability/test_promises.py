"""Every promise at its quick size; `make soak` makes them all at full size."""

from __future__ import annotations

from pathlib import Path

import pytest
from promises import PROMISES, Promise
from work import Work

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("promise", [p for p in PROMISES if p.quick], ids=lambda promise: promise.row)
def test_a_promise_is_kept(promise: Promise, tmp_path: Path) -> None:
    work = Work(promise.quick, 0, tmp_path)
    promise.check(work)
    assert work.done == promise.quick and work.reached


def test_every_row_is_shown_on_every_commit() -> None:
    assert len({promise.row for promise in PROMISES}) == len(PROMISES)
    for promise in PROMISES:
        assert promise.quick or promise.elsewhere, promise.row
        for place in promise.elsewhere:
            file, _, name = place.partition("::")
            assert f"def {name}(" in (TESTS / file).read_text(encoding="utf-8"), place
