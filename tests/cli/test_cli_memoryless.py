"""A time-delay network and an output-to-hidden network from the command line: trained, resumed, measured, sampled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_support import SMALL, Cli, events

FLAGS = {
    "tdnn": ("--cell", "tdnn", "--kernel-size", "3", "--layers", "2", "--dilations", "1,3"),
    "free": ("--cell", "output-to-hidden"),
    "forced": ("--cell", "output-to-hidden", "--teacher-forcing", "1"),
    "scheduled": ("--cell", "output-to-hidden", "--teacher-forcing", "1", "--forcing-end", "0", "--dropout", "0.1"),
    "samples": ("--cell", "output-to-hidden", "--teacher-forcing", "1", "--forcing-end", "0.5", "--feedback", "sample"),
}


@pytest.mark.parametrize("name", FLAGS)
def test_trained_measured_and_sampled(cli: Cli, here: Path, name: str) -> None:
    assert cli("train", "book.txt", *SMALL, *FLAGS[name], "--out", "a", "--quiet").code == 0
    valid = [event["perplexity"] for event in events(here / "a") if event["event"] == "valid"]
    assert valid[1] < valid[0]
    found = cli("evaluate", "a", "--json").json
    assert found["perplexity"] == pytest.approx(min(valid), rel=1e-12)
    texts = [cli("generate", "a", "the ", "--length", "15", "--seed", "2").out for _ in range(2)]
    assert texts[0] == texts[1] and len(texts[0]) == 20
    kernel = json.loads((here / "a" / "env.json").read_text())
    assert kernel["kernel"] == "readable" and kernel["kernel_reason"]
    assert "dilations" in (here / "a" / "config.yaml").read_text()


@pytest.mark.parametrize("name", ["tdnn", "scheduled"])
def test_a_run_that_goes_on_equals_one_that_never_stopped(cli: Cli, here: Path, name: str) -> None:
    """The probability of forcing too is where it would have been: the schedule runs over all epochs that the run shall have."""
    schedule = ("--schedule", "constant", "--epochs", "3")
    assert cli("train", "book.txt", *SMALL, *FLAGS[name], *schedule, "--out", "whole", "--quiet").code == 0
    assert cli("train", "book.txt", *SMALL, *FLAGS[name], *schedule, "--out", "again", "--quiet", "--save-every", "1").code == 0
    before = events(here / "again")
    for checkpoint in sorted((here / "again" / "checkpoints").glob("step-*"))[-1:]:
        (checkpoint / "model.safetensors").write_bytes(b"damaged")
    assert cli("train", "--resume", "again", "--quiet").code == 0
    told = [e for e in events(here / "again") if e["event"] in ("step", "valid")]
    assert told == [e for e in events(here / "whole") if e["event"] in ("step", "valid")]
    assert told == [e for e in before if e["event"] in ("step", "valid")]


def test_settings_as_yaml(cli: Cli, here: Path) -> None:
    (here / "a.yaml").write_text("cell: tdnn\nlayers: 3\ndilations: [1, 2, 4]\n")
    shown = cli("train", "--config", "a.yaml", "--print-config")
    assert shown.code == 0 and "dilations:\n- 1\n- 2\n- 4\n" in shown.out
    (here / "b.yaml").write_text(shown.out)
    assert cli("train", "--config", "b.yaml", "--print-config").out == shown.out
    assert "dilations: []" in cli("train", "--config", "a.yaml", "--dilations", "none", "--print-config").out
    wrong = cli("train", "--cell", "tdnn", "--config", "a.yaml", "--dilations", "1.5,2,3")
    assert wrong.code == 2 and "a list of whole numbers" in wrong.err


@pytest.mark.slow
@pytest.mark.parametrize("name", FLAGS)
def test_compared_and_diagnosed(cli: Cli, here: Path, name: str) -> None:
    assert cli("train", "book.txt", *SMALL, *FLAGS[name], "--out", "a", "--quiet").code == 0
    assert cli("diagnose", "a", "--json").code == 0
    compared = cli("compare", "a", "--gradient", "full", "truncated:k1=4", "--json")
    assert compared.code == 0
