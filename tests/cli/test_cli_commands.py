"""The commands that read a run, and the help of all of them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import yaml
from cli_support import SMALL, TEXT, Cli, events

import bptt
from bptt.cli import COMMANDS
from bptt.cli.output import clock, figure
from bptt.cli.score import likelihood
from bptt.config import SETTINGS


def test_help_and_version(cli: Cli) -> None:
    ended = cli("--help")
    assert ended.code == 0 and all(command in ended.out for command in COMMANDS) and cli().out == ended.out
    assert cli("--version").out == f"bptt {bptt.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str, cli: Cli) -> None:
    with pytest.raises(SystemExit) as caught:
        cli(command, "--help")
    assert caught.value.code == 0


def test_help_shows_every_setting_with_its_default(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli("train", "--help")
    text = capsys.readouterr().out
    assert all("--" + key.replace("_", "-") in text for key in SETTINGS)
    assert "[0.003]" in text and "[truncated:k1=64]" in text and "examples:" in text
    assert "_" not in "".join(word for word in text.split() if word.startswith("--"))


def test_evaluate_gives_the_number_of_the_training(cli: Cli, trained: Path) -> None:
    best = min(event["perplexity"] for event in events(trained) if event["event"] == "valid")
    ended = cli("evaluate", trained, "--json")
    assert ended.json["perplexity"] == pytest.approx(best, rel=1e-12) and ended.code == 0
    assert figure(best) in cli("evaluate", trained).out


def test_evaluate_other_parts_and_texts(cli: Cli, trained: Path, here: Path) -> None:
    parts = {part: cli("evaluate", trained, "--part", part, "--json").json for part in ("train", "valid", "test")}
    assert parts["train"]["tokens"] > parts["valid"]["tokens"] and len({p["perplexity"] for p in parts.values()}) == 3
    model = bptt.load(trained)
    for name in ("book.txt", "gb.txt"):
        (here / "gb.txt").write_bytes(TEXT.encode("gb18030"))
        more = ("--encoding", "gb18030") if name == "gb.txt" else ()
        score = cli("evaluate", trained, name, *more, "--json").json
        assert score["perplexity"] == pytest.approx(model.evaluate(TEXT).perplexity, rel=1e-12)
        assert score["tokens"] == len(TEXT) - 1


def test_evaluate_notes_what_is_unknown_and_what_has_changed(cli: Cli, here: Path) -> None:
    (here / "other.txt").write_text("the ΩΩ")
    assert cli("train", "book.txt", *SMALL, "--out", "a").code == 0
    ended = cli("evaluate", "a", "other.txt")
    assert ended.code == 0 and len(ended.lines) == 1 and "33.33%" in ended.err
    (here / "book.txt").write_text(TEXT + "the")
    ended = cli("evaluate", "a")
    assert ended.code == 0 and len(ended.lines) == 1 and "has changed" in ended.err


def test_generate_streams_prefix_and_text(cli: Cli, trained: Path) -> None:
    words = ("generate", trained, "the 猫", "--length", 30, "--seed", 3, "--temperature", 0.5, "--top-k", 5)
    ended = cli(*words)
    model = bptt.load(trained)
    expected = model.generate("the 猫", length=30, seed=3, temperature=0.5, top_k=5)
    assert ended.out == expected + "\n" and ended.err == ""
    assert cli(*words, "--json").json["text"] == expected.removeprefix("the 猫")
    assert len(cli("generate", trained, "--length", 7).out) == 8


def test_unknown_characters_in_a_prefix_are_one_note(cli: Cli, trained: Path) -> None:
    ended = cli("generate", trained, "the ΩΨ", "--length", 5)
    assert (
        ended.code == 0 and len(ended.lines) == 1 and ended.err.startswith("bptt: note: 2 of 6 tokens") and "'Ω'" in ended.err
    )


def test_bytes_come_as_whole_characters(cli: Cli) -> None:
    assert cli("train", "book.txt", *SMALL, "--unit", "byte", "--out", "a").code == 0
    ended = cli("generate", "a", "猫", "--length", 100, "--seed", 1)
    assert ended.code == 0 and ended.out.startswith("猫")


def test_score_is_the_models_own(cli: Cli, trained: Path) -> None:
    scores = bptt.load(trained).score("the 猫")
    told = cli("score", trained, "the 猫", "--json").json
    assert [t["token"] for t in told["tokens"]] == list("the 猫")
    assert told["nats"] == pytest.approx(math.fsum(s.nats for s in scores), rel=1e-12)
    ended = cli("score", trained, "the 猫\n")
    assert "␣" in ended.out and "↵" in ended.out and "perplexity" in ended.out
    assert cli("score", trained, "").code == 2


def test_a_probability_smaller_than_any_float() -> None:
    assert likelihood(math.log(8)) == "0.125"
    assert likelihood(1000 * math.log(10) - math.log(2)) == "2.000e-1000"


def test_runs_lists_them_with_their_state(cli: Cli, here: Path) -> None:
    (here / "runs").mkdir()
    assert "No runs" in cli("runs").out
    assert cli("train", "book.txt", *SMALL, "--quiet").code == 0
    assert cli("train", "book.txt", *SMALL, "--quiet", "--cell", "rnn", "--out", "runs/deep/er").code == 0
    (here / "runs" / "deep" / "er" / "metrics.jsonl").write_text('{"event": "start", "step": 0, "epoch": 1}\n')
    (here / "runs" / "deep" / "er" / ".lock").write_text("999999999")
    rows = {row["run"]: row for row in cli("runs", "--json").json}
    finished, cut = rows["runs/book-gru-1"], rows["runs/deep/er"]
    assert (finished["state"], finished["epochs"], finished["corpus"], finished["gradient"]) == (
        "finished",
        "2/2",
        "book.txt",
        "truncated:k1=16",
    )
    assert cut["state"] == "cut off" and cut["perplexity"] is None and cut["cell"] == "rnn"
    table = cli("runs").out
    assert "runs/book-gru-1" in table and figure(finished["perplexity"]) in table


def test_report_says_where(cli: Cli, trained: Path) -> None:
    (trained / "report.html").unlink(missing_ok=True)
    ended = cli("report", trained)
    assert ended.out.strip() == str(trained / "report.html") and (trained / "report.html").is_file()


def test_doctor(cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BPTT_DATA", str(here))
    told = cli("doctor", "--json")
    assert told.code == 0 and told.json["ok"] and "book" in told.json["data"]["BPTT_DATA"]
    assert set(told.json["kernels"]) == {"rnn", "leaky-rnn", "lstm", "gru"} and ":" in told.json["kernels"]["gru"]
    assert "pip install" in cli("doctor").out or "installed, for" in cli("doctor").out
    monkeypatch.setattr("bptt.cli.doctor.NEEDED", ("numpy", "no-such-thing"))
    ended = cli("doctor")
    assert ended.code == 1 and "pip install no-such-thing" in ended.out


def test_a_run_of_the_library_is_readable(cli: Cli, here: Path) -> None:
    corpus = bptt.read_text("book.txt")
    model = bptt.LanguageModel("gru", vocab=corpus.vocab, hidden_size=4)
    bptt.fit(model, corpus, out="lib", epochs=1, sample_every=0, batch_size=4)
    assert cli("generate", "lib", "the", "--length", 3).code == 0 and cli("evaluate", "lib", "book.txt").code == 0
    ended = cli("evaluate", "lib")
    assert ended.code == 2 and "Give a text" in ended.err
    assert cli("train", "--resume", "lib").code == 2


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml")), ids=lambda path: path.name)
def test_every_recipe_is_readable(cli: Cli, path: Path) -> None:
    ended = cli("train", "--config", path, "--print-config")
    assert ended.code == 0 and json.dumps(yaml.safe_load(ended.out))


def test_numbers_for_people() -> None:
    assert [figure(v) for v in (None, math.inf, math.nan, 0.0, 5.43211, 12345.6, 1e12, 1e-9)] == [
        *("–", "∞", "–", "0", "5.432", "12,346", "1.000e+12", "1.000e-09"),
    ]
    assert [clock(v) for v in (0, 59.6, 3600)] == ["0:00", "1:00", "1:00:00"]
