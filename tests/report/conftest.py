"""The fixtures of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_run import events, write_run


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A finished run of 3000 steps."""
    return write_run(tmp_path / "dream", list(events()))
