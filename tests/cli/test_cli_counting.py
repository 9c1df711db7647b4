"""`bptt stats` and `bptt baseline`: what they say is what the library counts, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_support import TEXT, Cli

import bptt
from bptt.cli.plot import log_log
from bptt.config import BASELINES, parse_baseline
from bptt.counting import KneserNey, Laplace, MarkovChain, NGram, statistics


def test_stats_says_what_the_library_counts(cli: Cli, here: Path) -> None:
    corpus = bptt.read_text("book.txt", unit="word", valid=0, reserved=())
    found = statistics(corpus.train, corpus.vocab, top=5, order=2).to_json()
    told = cli("stats", "book.txt", "--unit", "word", "--top", 5, "--order", 2, "--json").json
    assert told.items() >= json.loads(json.dumps({**found, "corpus": "book.txt"})).items()
    ended = cli("stats", "book.txt", "--unit", "word", "--order", 4)
    assert ended.code == 0 and ended.err == ""
    for row in found["orders"]:
        assert f"{row['distinct']:,}" in ended.out
    assert "cats saw" in ended.out and "the*" in ended.out and "4-gram" in ended.out
    assert "┤" in ended.out and "expected by Kneser-Ney" in ended.out


@pytest.mark.parametrize("unit", ["char", "byte"])
def test_stats_shows_blanks_and_line_ends(cli: Cli, unit: str) -> None:
    ended = cli("stats", "book.txt", "--unit", unit)
    assert ended.code == 0 and "␣" in ended.out and "⏎" in ended.out
    assert all(len(line) <= 100 for line in ended.out.splitlines())


def test_stats_of_a_short_text_has_no_line_and_no_tail(cli: Cli, here: Path) -> None:
    (here / "short.txt").write_text("to be or not to be", encoding="utf-8")
    ended = cli("stats", "short.txt", "--unit", "word", "--out", "counted", "-o", "zipf.png")
    assert ended.code == 0 and "–" in ended.out and "expected by" not in ended.out
    assert (here / "counted" / "stats.html").is_file() and (here / "zipf.png").read_bytes()[:4] == b"\x89PNG"


def test_stats_writes_files(cli: Cli, here: Path) -> None:
    told = cli("stats", "book.txt", "--out", "counted", "-o", "zipf.svg", "--json").json
    assert told["page"] == "counted/stats.html" and told["picture"] == "zipf.svg"
    kept = json.loads((here / "counted" / "stats.json").read_text(encoding="utf-8"))
    assert kept["orders"] == told["orders"] and b"<svg" in (here / "zipf.svg").read_bytes()


def test_baseline_says_what_the_models_say(cli: Cli, here: Path) -> None:
    names = ["unigram", "trigram:epsilon=1/0.5/0.25", "kneser-ney:order=4,discount=0.6", "markov:2"]
    told = cli("baseline", "book.txt", "--model", *names, "--valid", 0.2, "--json").json
    corpus = bptt.read_text("book.txt", valid=0.2)
    models = [(1, Laplace(1)), (3, Laplace((1.0, 0.5, 0.25))), (4, KneserNey(0.6)), (3, Laplace(1))]
    for row, name, (order, smoothing) in zip(told["models"], names, models, strict=True):
        model = NGram(order, smoothing, vocab=corpus.vocab).fit(corpus.train)
        score = model.evaluate(corpus.valid)
        assert row["model"] == name and row["order"] == order and row["tokens"] == len(corpus.valid) - 1
        assert row["nats"] == pytest.approx(score.nats, rel=1e-12)
        assert row["bits_per_character"] == pytest.approx(score.bits_per_character, rel=1e-12)
        assert row["train_perplexity"] == pytest.approx(model.evaluate(corpus.train).perplexity, rel=1e-12)
    assert [row["order"] for row in told["orders"]] == [1, 2, 3, 4] and told["orders"][0]["distinct"] == len(set(TEXT)) > 5
    assert told["models"][2]["discounts"] == [[0.6] * 3] * 4


def test_a_plain_call_shows_four_models(cli: Cli) -> None:
    ended = cli("baseline", "book.txt")
    assert ended.code == 0 and ended.err == ""
    assert all(name in ended.out for name in ("unigram", "bigram", "trigram", "kneser-ney", "blind guessing"))


def test_beside_a_run_its_model_is_measured_on_the_same_targets(cli: Cli, trained: Path) -> None:
    told = cli("baseline", trained, "--model", "bigram", "--json").json
    own = cli("evaluate", trained, "--json").json
    bigram, run = told["models"]
    assert run["perplexity"] == pytest.approx(own["perplexity"], rel=1e-12)
    assert run["kind"] == "run" and run["tokens"] == bigram["tokens"] and run["characters"] == bigram["characters"]
    assert "gru 8" in cli("baseline", trained).out


def test_infinite_perplexity_is_explained(cli: Cli, here: Path) -> None:
    (here / "book.txt").write_text("ab" * 100 + "aabb", encoding="utf-8")
    told = cli("baseline", "book.txt", "--model", "bigram:epsilon=0", "--valid", 0.3, "--json").json
    row = told["models"][0]
    assert row["perplexity"] is None and row["impossible"] == 2 < row["tokens"]
    ended = cli("baseline", "book.txt", "--model", "bigram:epsilon=0", "--valid", 0.3)
    assert "∞" in ended.out and f"probability 0 to {row['impossible']:,} of" in " ".join(ended.out.split())


@pytest.mark.parametrize("flags, impossible", [((), 1), (("--reverse",), 2)])
def test_the_token_that_is_only_read_is_not_called_impossible(cli: Cli, here: Path, flags: tuple, impossible: int) -> None:
    """The held-out part is z, ab nine times, b: only the second b after a b is new, and from the end the z as well."""
    (here / "book.txt").write_text("ab" * 90 + "z" + "ab" * 9 + "b", encoding="utf-8")
    told = cli("baseline", "book.txt", "--model", "bigram:epsilon=0", *flags, "--json").json
    assert told["models"][0]["impossible"] == impossible


def test_a_sentence_ahead_and_samples(cli: Cli, here: Path) -> None:
    words = ("baseline", "book.txt", "--unit", "word", "--model", "bigram", "markov:2")
    flags = ("--score", "the 2 cats", "--prefix", "the 3", "--length", 6, "--seed", 4, "--ahead", 3)
    told = cli(*words, *flags, "--json").json
    corpus = bptt.read_text("book.txt", unit="word")
    bigram = NGram(2, vocab=corpus.vocab).fit(corpus.train)
    chain = MarkovChain(2, vocab=corpus.vocab).fit(corpus.train)
    assert told["sentence"]["tokens"] == ["the", "2", "cats"]
    assert told["sentence"]["models"]["bigram"]["probabilities"] == [s.probability for s in bigram.score("the 2 cats")]
    for row, expected in zip(told["ahead"]["models"]["markov:2"], chain.ahead("the 3", 3), strict=True):
        token, probability = row["top"][0]
        assert probability == pytest.approx(expected.max(), rel=1e-12) and expected[corpus.vocab[token]] == expected.max()
    text = bigram.generate("the 3", length=6, seed=4, temperature=0.8)
    assert "the 3" + told["samples"]["texts"]["bigram"] == text
    ended = cli(*words, *flags, "--out", "counted", "-o", "bars.svg")
    assert ended.code == 0 and text in ended.out and "entropy" in ended.out and "all of it" in ended.out
    assert (here / "counted" / "baseline.html").is_file() and (here / "bars.svg").is_file()


def test_from_the_end(cli: Cli) -> None:
    told = cli("baseline", "book.txt", "--model", "bigram", "--reverse", "--prefix", "cats", "--seed", 1, "--json").json
    corpus = bptt.read_text("book.txt")
    model = NGram(2, vocab=corpus.vocab, reverse=True).fit(corpus.train)
    assert told["models"][0]["nats"] == pytest.approx(model.evaluate(corpus.valid).nats, rel=1e-12)
    ended = cli("baseline", "book.txt", "--model", "bigram", "--reverse", "--prefix", "cats", "--seed", 1, "--ahead", 2)
    assert told["samples"]["texts"]["bigram"] + "cats" in ended.out and "read from the end" in ended.out
    assert "before cats" in ended.out


def test_names_mean_models() -> None:
    orders = {
        "unigram": 1,
        "bigram": 2,
        "trigram": 3,
        "ngram:5": 5,
        "add-k": 3,
        "kneser-ney": 3,
        "kneser-ney:4": 4,
        "markov:3": 4,
    }
    assert {name: parse_baseline(name).order for name in orders} == orders
    assert {name.partition(":")[0] for name in orders} == set(BASELINES)
    assert parse_baseline("kneser-ney:modified=true").smoothing == KneserNey(modified=True)


def test_a_plot_of_characters_puts_points_where_they_belong() -> None:
    lines = log_log([[(1, 1000), (1000, 1)]], ["7"]).splitlines()
    rows = [line.split("┤" if "┤" in line else "│")[-1] for line in lines[:16]]
    assert rows[0].startswith("7") and len(rows[-1].rstrip()) == 60 and lines[0].startswith("1,000 ┤")
    starts = [len(row) - len(row.lstrip()) for row in rows]
    assert starts == sorted(starts) and lines[-1].split() == ["1", "10", "100", "1,000"]
    assert len(log_log([[(1, 1)]], ["1"]).splitlines()) == 18


WRONG = {
    "stats missing.txt": "missing.txt",
    "stats book.txt --order 0": "order=0",
    "stats book.txt --order x": "order='x'",
    "stats book.txt --order 10000000": "shorter than one n-gram",
    "stats book.txt --top 0": "top=0",
    "stats book.txt --first 0": "first=0",
    "stats book.txt --first 9 --last 3": "last=3",
    "stats book.txt -o zipf.pdf": "zipf.pdf",
    "stats book.txt -o nowhere/zipf.svg": "nowhere",
    "stats book.txt --out book.txt": "book.txt",
    "stats book.txt --unit wrd": "Did you mean 'word'",
    "stats empty.txt": "empty",
    "baseline missing.txt": "missing.txt",
    "baseline book.txt --model trigrm": "Did you mean 'trigram'",
    "baseline book.txt --model markov:0": "order=0",
    "baseline book.txt --model ngram": "needs order",
    "baseline book.txt --model ngram:order=2.5": "order=2.5",
    "baseline book.txt --model trigram:epsilon=-1": "epsilon=-1",
    "baseline book.txt --model trigram:epsilon=1/x": "1/x",
    "baseline book.txt --model trigram:eps=1": "Did you mean 'epsilon'",
    "baseline book.txt --model kneser-ney:discount=2": "discount=2",
    "baseline book.txt --model add-k:k=nan": "k=nan",
    "baseline book.txt --model bigram bigram": "given twice",
    "baseline --model bigram book.txt": "before --model",
    "baseline book.txt --model": "--model",
    "baseline book.txt --valid 0": "held-out",
    "baseline book.txt --ahead 0": "steps=0",
    "baseline book.txt --model markov:3 --prefix th --ahead 2": "2 tokens for a chain of order 3",
    "baseline book.txt --prefix a --length -1": "-1",
    "baseline book.txt --prefix a --temperature nan": "nan",
    "baseline book.txt --score": "--score",
    "baseline book.txt --model ngram:99999999": "shorter than one n-gram",
    "baseline book.txt -o bars.pdf": "bars.pdf",
    "baseline book.txt --hidden-size 3": "no flag --hidden-size",
}


@pytest.mark.parametrize("words", WRONG)
def test_one_line_that_names_it(cli: Cli, here: Path, words: str) -> None:
    (here / "empty.txt").write_text("")
    before = sorted(here.iterdir())
    ended = cli(*words.split())
    assert ended.code == 2 and ended.out == ""
    assert len(ended.lines) == 1 and ended.err.startswith("bptt: error: ") and WRONG[words] in ended.err
    assert sorted(here.iterdir()) == before


def test_a_run_has_its_own_text(cli: Cli, trained: Path) -> None:
    ended = cli("baseline", trained, "--unit", "word")
    assert ended.code == 2 and "--unit" in ended.err
    assert cli("baseline", "book.txt", "--score", "").code == 2
