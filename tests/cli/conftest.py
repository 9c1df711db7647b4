"""A small text, a way to call the command in this process, and one trained run that the tests only read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_support import SMALL, TEXT, Cli, Ended

from bptt.cli import main


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in a folder of its own, with one text in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BPTT_DATA", raising=False)
    monkeypatch.delenv("BPTT_DEBUG", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "book.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Call the command in this process."""

    def call(*words: object) -> Ended:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Ended(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished run; its text lies beside it."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "book.txt").write_text(TEXT, encoding="utf-8")
    code = main(["train", str(folder / "book.txt"), *SMALL, "--test", "0.1", "--quiet", "--out", str(folder / "runs" / "one")])
    assert code == 0
    yield folder / "runs" / "one"
