"""`bptt compare`: on a run, on a text, in words, as JSON and as a page; and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cli_support import TEXT, Cli

import bptt

QUICK = ("--probes", "1", "--probe-steps", "16", "--draws", "3", "--threads", "1")
TINY = ("--hidden-size", "8", "--batch-size", "4", "--steps", "16", "--dtype", "float64", *QUICK)


@pytest.fixture
def own(trained: Path, tmp_path: Path) -> Path:
    """A run of one's own to write into, its text beside it."""
    shutil.copytree(trained.parent.parent, tmp_path / "own")
    return tmp_path / "own" / "runs" / "one"


def test_a_run_is_compared_on_its_model_and_its_text_and_its_report_shows_it(cli: Cli, own: Path) -> None:
    before = {path: path.read_bytes() for path in own.rglob("*") if path.is_file() and path.name != "report.html"}
    ended = cli("compare", own, "--gradient", "full", "truncated:k1=4", *QUICK)
    assert ended.code == 0 and ended.err == "" and f"the best checkpoint of {own}" in ended.out
    assert "truncated:k1=4 is" in ended.out and "off the exact gradient" in ended.out and "full gives the exact" in ended.out
    assert "recurrent weights" in ended.out and f"page  {own}/report.html" in ended.out
    written = json.loads((own / "compare.json").read_text())
    assert [row["gradient"] for row in written["rows"]] == ["full", "truncated:k1=4"]
    assert written["rows"][0]["bias"] <= 1e-12 < 1e-3 < written["rows"][1]["bias"]
    page = (own / "report.html").read_text()
    assert 'id="comparison"' in page and "truncated:k1=4 is" in page
    assert all(path.read_bytes() == content for path, content in before.items())


def test_the_figures_are_those_of_the_library(cli: Cli, own: Path) -> None:
    ended = cli("compare", own, "--gradient", "truncated:k1=4", "randomized:mean=4", *QUICK, "--json")
    model = bptt.load(own)
    corpus = bptt.read_text(own.parent.parent / "book.txt", vocab=model.vocab, valid=0.1, test=0.1)
    settings = {"batch_size": 4, "steps": 16, "dtype": "float64", "threads": 1, "probes": 1, "probe_steps": 16, "draws": 3}
    found = bptt.compare(model, corpus, [bptt.Truncated(4), bptt.Randomized(4)], **settings).to_json()
    for shown, wanted in zip(ended.json["rows"], found["rows"], strict=True):
        assert shown["bias"] == pytest.approx(wanted["bias"], rel=1e-9)
        assert shown["variance"] == pytest.approx(wanted["variance"], rel=1e-9)
    assert ended.json["page"] == str(own / "report.html")


def test_without_strategies_the_runs_own_stands_beside_telling_ones(cli: Cli, own: Path) -> None:
    names = [row["gradient"] for row in cli("compare", own, *QUICK, "--json").json["rows"]]
    assert names[0] == "full" and "truncated:k1=16" in names and len(names) == len(set(names)) >= 3


def test_a_text_is_compared_on_a_fresh_model_and_writes_nothing_unasked(cli: Cli, here: Path) -> None:
    ended = cli(
        "compare", "book.txt", *TINY, "--cell", "rnn", "--gradient", "full", "truncated:k1=4", "--gradient", "peroutput:k=3"
    )
    assert ended.code == 0 and "a fresh rnn of 8 units on book.txt" in ended.out and "page" not in ended.out
    assert "peroutput:k=3" in ended.out and sorted(path.name for path in here.iterdir()) == ["book.txt"]


def test_out_gets_the_figures_and_a_page_of_their_own(cli: Cli, here: Path) -> None:
    ended = cli(
        "compare", "book.txt", *TINY, "--gradient", "full", "randomized:mean=4", "--out", "deep/compared", "--race", "0.1"
    )
    assert ended.code == 0 and "page  deep/compared/compare.html" in ended.out
    assert "after 0.1 s of training" in ended.out and "predicts held-out text best" in ended.out
    written = json.loads((here / "deep/compared/compare.json").read_text())
    assert [trial["name"] for trial in written["race"]["trials"]] == ["full", "randomized:mean=4"]
    page = (here / "deep/compared/compare.html").read_text()
    assert "GRU on book.txt" in page and "In equal time" in page


def test_a_run_with_out_is_left_alone(cli: Cli, own: Path, here: Path) -> None:
    report = (own / "report.html").read_bytes()
    assert cli("compare", own, "--gradient", "full", *QUICK, "--out", "apart").code == 0
    assert (here / "apart/compare.html").is_file() and not (own / "compare.json").exists()
    assert (own / "report.html").read_bytes() == report


def test_a_race_on_a_run_starts_from_fresh_parameters(cli: Cli, own: Path) -> None:
    race = cli("compare", own, "--gradient", "truncated:k1=16", *QUICK, "--race", "0.1", "--json").json["race"]
    first = race["trials"][0]["points"][0]
    trained = cli("evaluate", own, "--json").json["perplexity"]
    assert first[:2] == [0.0, 0] and first[2] > 1.2 * trained


def test_settings_come_from_yaml_its_strategy_too(cli: Cli, here: Path) -> None:
    (here / "small.yaml").write_text("corpus: [book.txt]\ncell: lstm\nhidden-size: 8\ngradient: truncated:k1=5\nepochs: 9\n")
    found = cli("compare", "--config", "small.yaml", "--batch-size", 4, "--steps", 16, *QUICK, "--json").json
    assert found["setting"]["cell"] == "lstm" and found["setting"]["steps"] == 16
    assert "truncated:k1=5" in [row["gradient"] for row in found["rows"]]


def test_a_compared_run_may_be_replaced_and_its_comparison_goes_with_it(cli: Cli, own: Path) -> None:
    assert cli("compare", own, "--gradient", "full", *QUICK).code == 0
    again = ("--hidden-size", 8, "--batch-size", 4, "--steps", 16, "--epochs", 1, "--threads", 1, "--quiet", "--overwrite")
    assert cli("train", "book.txt", *again, "--out", own).code == 0 and not (own / "compare.json").exists()


PLUGIN = """
import dataclasses
from bptt import Full, InputError

@dataclasses.dataclass(frozen=True)
class Never(Full):
    def start(self, unroll, batch_size):
        raise InputError("It cannot run", "this model", "Take another")

STRATEGIES = {"never": Never}
"""


def test_one_that_cannot_run_is_a_line_with_its_reason(cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "mine_that_never_runs.py").write_text(PLUGIN)
    words = ("--gradient", "never", "truncated:k1=4", "--plugin", "mine_that_never_runs")
    ended = cli("compare", "book.txt", *TINY, *words)
    assert ended.code == 0 and "cannot run" in ended.out
    assert "never cannot run here: It cannot run. this model. Take another." in ended.out and "truncated:k1=4 is" in ended.out


def test_one_that_cannot_run_is_a_line_of_the_race_too(cli: Cli, own: Path) -> None:
    words = ("--gradient", "truncated:k1=16", "checkpointed:budget=1KiB", *QUICK, "--race", "0.1")
    ended = cli("compare", own, *words)
    assert ended.code == 0 and ended.out.count("cannot run here: The budget") == 1
    table = ended.out.partition("after 0.1 s of training")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[1:] for line in table if line.startswith("checkpointed")] == [["cannot", "run", "–", "–"]]
    assert (own / "compare.json").is_file() and "Cannot run here: The budget" in (own / "report.html").read_text()


def test_cosines_stand_beside_biases_block_by_block(cli: Cli, here: Path) -> None:
    words = ("--gradient", "full", "truncated:k1=2", *TINY)
    shown = cli("compare", "book.txt", *words).out
    blocks = cli("compare", "book.txt", *words, "--json").json["rows"][1]["blocks"]
    heading, _, line = shown[shown.index("cosine in") :].splitlines()[:3]
    assert heading.split()[2:4] == ["embedding", "input"]
    assert [float(cell) for cell in line.split()[1:]] == pytest.approx([own["cosine"] for own in blocks.values()], abs=6e-5)


def test_the_sampling_that_is_asked_for_is_the_one_that_is_measured(cli: Cli, here: Path) -> None:
    words = ("book.txt", *TINY, "--gradient", "truncated:k1=16", "--probe-steps", "32")
    random, blocks = (
        cli("compare", *words, "--sampling", *sampling) for sampling in (("random",), ("shuffled", "--block", "32"))
    )
    assert random.code == 0 and "in windows of 16 steps, random sampling" in random.out
    assert "truncated:k1=16 gives the exact gradient" in random.out
    assert "in windows of 16 steps, shuffled sampling" in blocks.out and "truncated:k1=16 is" in blocks.out


@pytest.mark.parametrize("columns", [80, 100])
def test_lines_fit_the_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    words = ("--gradient", "full", "truncated:k1=4,k2=16,update=window", "randomized:mean=4,tail=4", "--race", "0.05")
    ended = cli("compare", "book.txt", *TINY, *words)
    assert ended.code == 0 and max(map(len, ended.out.splitlines())) <= columns
    assert all(line == line.rstrip() for line in ended.out.splitlines()) and "\ufffd" not in ended.out


WRONG = {
    "book.txt --gradient trunctated:k1=4": "Did you mean 'truncated'",
    "book.txt --gradient truncated": "needs k1",
    "book.txt --gradient full full": "given twice",
    "book.txt --gradient truncated:k1=4 truncated:k1=4,update=stretch": "truncated:k1=4",
    "--gradient full book.txt": "bptt compare book.txt --gradient",
    "book.txt --gradient": "--gradient",
    "missing.txt": "missing.txt",
    "folder": "folder",
    "book.txt --batch-size 100000": "Give a batch size of",
    "book.txt --probe-steps 100000": "shorter probes",
    "book.txt --probes 0": "probes=0",
    "book.txt --draws two": "draws='two'",
    "book.txt --draws 2": "draws=2",
    "book.txt --race -1": "race=-1",
    "book.txt --race 1 --valid 0": "held-out",
    "book.txt --epochs 3": "no flag --epochs",
    "book.txt --hidden-size 0": "hidden_size=0",
    "book.txt --out book.txt": "book.txt",
    "book.txt --device cuda:99": "cuda:99",
    "run --hidden-size 3": "--hidden-size",
    "run --config small.yaml": "--config",
    "run --unit word": "--unit",
    "damaged": "config.yaml of the run cannot be read",
    "strange": "hiden_size",
    "scripted": "does not say what it was trained on",
}


@pytest.mark.parametrize("words", WRONG)
def test_what_cannot_be_is_one_line_and_leaves_nothing(cli: Cli, here: Path, trained: Path, words: str) -> None:
    (here / "folder").mkdir()
    (here / "run").symlink_to(trained)
    for name, config in (
        ("damaged", "a: [\n"),
        ("strange", "corpus: [book.txt]\nhiden_size: 3\n"),
        ("scripted", "cell: gru\n"),
    ):
        (here / name).mkdir()
        (here / name / "config.yaml").write_text(config)
    before = sorted(here.rglob("*"))
    ended = cli("compare", *words.split(), "--threads", "1")
    assert ended.code == 2 and len(ended.lines) == 1 and ended.err.startswith("bptt: error: ") and ended.out == ""
    assert WRONG[words] in ended.err and "Traceback" not in ended.err
    assert sorted(here.rglob("*")) == before and (here / "book.txt").read_text() == TEXT
