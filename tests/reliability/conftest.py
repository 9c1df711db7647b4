"""Helpers of the training tests are within reach; every check runs on one thread, and nothing waits for a disk."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from work import calm


@pytest.fixture(autouse=True)
def calmly() -> Iterator[None]:
    with calm():
        yield
