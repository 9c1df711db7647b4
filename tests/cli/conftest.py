"""A small text, a way to call the command in this process, and one trained run that the tests only read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bptt.cli import main

TEXT = "".join(f"the {n % 7} cats saw {n % 5} dogs; “{n % 11}” 猫.\n" for n in range(60))
SMALL = (
    *("--hidden-size", "8", "--batch-size", "4", "--steps", "16", "--gradient", "truncated:k1=16", "--epochs", "2"),
    *("--threads", "1", "--sample-length", "20", "--dtype", "float64"),
)


@dataclasses.dataclass
class Ended:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON value."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """Lines on standard error."""
        return self.err.splitlines()


Cli = Callable[..., Ended]


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


def events(run: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without what differs between two equal runs: the time."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    timeless = [{k: v for k, v in line.items() if k not in ("seconds", "tokens_per_second", "time")} for line in lines]
    return [line for line in timeless if line["event"] != "resume"]
