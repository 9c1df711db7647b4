"""Settings as flat values: there and back, from flags and from YAML, and every mistake named."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from bptt.cli.train import GROUPS
from bptt.config import SETTINGS, Config, format_strategy, parse_strategy, places_of, read_yaml
from bptt.config.table import explained
from bptt.errors import InputError
from bptt.gradients import STRATEGIES, Full, Truncated


@pytest.mark.parametrize(
    "strategy", [Full(), Truncated(64), Truncated(20, 40), Truncated(5, update="window"), Truncated(3, 9, "window")]
)
def test_a_strategy_is_written_and_read_alike(strategy: object) -> None:
    assert parse_strategy(format_strategy(strategy)) == strategy


def test_the_spelling_of_a_strategy() -> None:
    assert format_strategy(Truncated(64, 128, "window")) == "truncated:k1=64,k2=128,update=window"
    assert format_strategy(Truncated(64)) == "truncated:k1=64" and format_strategy(Full()) == "full"
    assert parse_strategy(" Truncated: k1 = 64 , k2 = none ") == Truncated(64)


def test_values_of_every_type_survive() -> None:
    @dataclasses.dataclass(frozen=True)
    class Mine:
        mean: float
        tail: float | None = 1.5
        budget: str = "512MiB"
        fast: bool = False

    table = {**STRATEGIES, "my-own": Mine}
    for value in (Mine(16.0), Mine(0.1, None), Mine(1e-30, 2.0, "1GiB", True)):
        assert parse_strategy(format_strategy(value, table), table) == value


@pytest.mark.parametrize(
    ("written", "named", "todo"),
    [
        ("trunctated:k1=4", "trunctated", "Did you mean 'truncated'"),
        ("truncated", "needs k1", "truncated:k1=64"),
        ("truncated:64", "name=value", "truncated:k1=64"),
        ("truncated:updat=window,k1=4", "'updat'", "Did you mean 'update'"),
        ("full:k=3", "'k'", "Write full alone"),
        ("truncated:k1=8,k2=4", "k2", "at least 8"),
        ("truncated:k1=0", "k1", "k1=32"),
        ("truncated:k1=many", "k1", "k1=32"),
        ("os.system:k1=3", "os.system", "Known are"),
        ("", "''", "Known are"),
    ],
)
def test_a_wrong_strategy_is_named_with_its_remedy(written: str, named: str, todo: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_strategy(written)
    assert named in str(caught.value) and todo in caught.value.todo


def test_all_settings_survive_flat() -> None:
    config = Config.from_flat({"hidden-size": "12", "lr": "3e-3", "clip": "none", "sample_prefix": ["a", "猫"], "lower": "yes"})
    assert config.model.hidden_size == 12 and config.train.lr == 3e-3 and config.train.clip is None
    assert config.train.sample_prefix == ("a", "猫") and config.text.lower is True
    assert Config.from_flat(config.to_flat()) == config


def test_every_setting_is_explained_and_in_one_group() -> None:
    grouped = [key for keys in GROUPS.values() for key in keys.split()]
    assert sorted(grouped) == sorted(SETTINGS)
    assert all(setting.help for setting in SETTINGS.values())


def test_explanations_go_on_over_lines() -> None:
    doc = "A.\n\n    Arguments:\n        one: first,\n            still first\n        two: second\n\n    Unlike three: this"
    assert explained(doc) == {"one": "first, still first", "two": "second"}


@pytest.mark.parametrize(
    ("flat", "named"),
    [
        ({"hiden_size": 3}, "Did you mean 'hidden_size'"),
        ({"hidden_size": "big"}, "hidden_size"),
        ({"hidden_size": 2.5}, "hidden_size"),
        ({"hidden_size": True}, "hidden_size"),
        ({"epochs": None}, "epochs"),
        ({"lr": [1]}, "lr"),
        ({"lr": float("nan")}, "lr"),
        ({"clip": "abc"}, "clip"),
        ({"lower": 1}, "lower"),
        ({"lower": "maybe"}, "lower"),
        ({"encoding": 8}, "encoding"),
        ({"sample_prefix": [1]}, "sample_prefix"),
        ({"gradient": {"class_path": "os.system"}}, "gradient"),
        ({"corpus": 3}, "corpus"),
        ({"corpus": []}, "corpus"),
        ({"min_freq": -1}, "min_freq"),
        ({"vocab_limit": 0}, "vocab_limit"),
        ({"valid": float("nan")}, "valid"),
        ({"unit": "chars"}, "Did you mean 'char'"),
        ({"encoding": "utf9"}, "utf9"),
    ],
)
def test_a_wrong_setting_is_named(flat: dict, named: str) -> None:
    with pytest.raises(InputError, match=r".") as caught:
        Config.from_flat(flat)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    "content", ["- a\n- b\n", "a: [", "lr: 1\nlr: 2\nl-r: 3\n", "hidden-size: 1\nhidden_size: 2\n", "nonsense: 1\n", "\ud800"]
)
def test_yaml_that_is_no_list_of_settings(here: Path, content: str) -> None:
    (here / "c.yaml").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match=r"c\.yaml"):
        read_yaml("c.yaml")


def test_yaml_executes_nothing(here: Path) -> None:
    (here / "c.yaml").write_text("lr: !!python/object/apply:os.mkdir [made]\n")
    with pytest.raises(InputError):
        read_yaml("c.yaml")
    assert not (here / "made").exists()


def test_settings_need_no_command_line_package() -> None:
    code = "import sys, bptt.config; print([m for m in ('yaml', 'rich', 'jsonargparse', 'matplotlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_where_a_text_lies_is_written_down(here, monkeypatch):
    (here / "data").mkdir()
    (here / "data" / "novel.txt").write_text("text")
    monkeypatch.setenv("BPTT_DATA", str(here / "data"))
    wanted = [str(here / "book.txt"), str(here / "data" / "novel.txt"), "python-docs", "-"]
    assert places_of(["book.txt", "novel", "python-docs", "-"]) == wanted
