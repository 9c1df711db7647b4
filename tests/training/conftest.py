"""Every test runs on one thread from the same seed; small tensors run faster so."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def quick_and_alike(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread, a fixed seed, the default type, and no warnings about small batches."""
    # What reaches the disk when is tested by its own means; waiting for it here would be most of the time.
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    before, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
    torch.set_num_threads(before)
    torch.set_default_dtype(dtype)
