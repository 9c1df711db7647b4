"""Linear recurrences from the command line: trained, measured, sampled, resumed; and on a series."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_support import SMALL, Cli, events

FLAGS = {
    "lru": ("--cell", "lru", "--layers", "2", "--nonlinearity", "relu"),
    "mingru": ("--cell", "mingru", "--layers", "2", "--dropout", "0.1"),
}


@pytest.mark.parametrize("name", FLAGS)
def test_trained_measured_sampled_and_resumed(cli: Cli, here: Path, name: str) -> None:
    assert cli("train", "book.txt", *SMALL, *FLAGS[name], "--save-every", "1", "--out", "a", "--quiet").code == 0
    valid = [event["perplexity"] for event in events(here / "a") if event["event"] == "valid"]
    assert valid[-1] < valid[0]
    assert cli("evaluate", "a", "--json").json["perplexity"] == pytest.approx(min(valid), rel=1e-12)
    texts = [cli("generate", "a", "the ", "--length", "15", "--seed", "2").out for _ in range(2)]
    assert texts[0] == texts[1] and len(texts[0]) == 20
    kernel = json.loads((here / "a" / "env.json").read_text())
    assert kernel["kernel"] == "readable" and "scan" in kernel["kernel_reason"]
    before = events(here / "a")
    for checkpoint in sorted((here / "a" / "checkpoints").glob("step-*"))[-1:]:
        (checkpoint / "model.safetensors").write_bytes(b"damaged")
    assert cli("train", "--resume", "a", "--quiet").code == 0
    told, meant = ([e for e in each if e["event"] in ("step", "valid")] for each in (events(here / "a"), before))
    assert told == meant


def test_what_a_cell_has_not_is_said(cli: Cli, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused = cli("train", "book.txt", *SMALL, "--cell", "mingru", "--nonlinearity", "relu")
    assert refused.code == 2 and "The mingru cell has no choice of nonlinearity" in refused.err
    near = cli("train", "book.txt", *SMALL, "--cell", "minigru")
    assert near.code == 2 and "mingru" in near.err
    with pytest.raises(SystemExit):
        cli("train", "--help")
    assert "lru, mingru: linear in the past" in " ".join(capsys.readouterr().out.split())
