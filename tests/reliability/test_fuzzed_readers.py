"""Readers of files, one by one, on whatever hypothesis thinks of: a value, or one of our own errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bptt.config import Config, parse_strategy, read_yaml
from bptt.data import Vocabulary, open_corpus, read_text
from bptt.errors import BpttError, CheckpointError
from bptt.training import checkpoint
from bptt.training.pack import unpack
from bptt.training.restore import check_state

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3))
TAGS = st.sampled_from(["tensor", "window", "carry", "tuple", "dict", "float", "os.system"])
SKELETON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.fixed_dictionaries({"$": TAGS | LEAVES}, optional={"parts": inner, "items": inner, "name": inner, "value": inner})
    ),
    max_leaves=12,
)
quickly = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)


def keys_of(value: Any) -> Any:
    return st.dictionaries(st.sampled_from(list(value)), JSON, max_size=len(value))


VOCABULARY = Vocabulary.from_text("the cats").to_json()


@quickly
@given(SKELETON)
def test_a_skeleton(skeleton: Any) -> None:
    try:
        value = unpack({"t0": torch.zeros(2)}, skeleton)
    except CheckpointError:
        return
    with pytest.raises(CheckpointError):
        check_state(value)


@quickly
@given(JSON | keys_of(VOCABULARY), st.sampled_from(list(VOCABULARY)), JSON)
def test_a_vocabulary(other: Any, key: str, value: Any) -> None:
    for saved in (other, {**VOCABULARY, key: value}):
        try:
            found = Vocabulary.from_json(saved)
        except BpttError:
            continue
        assert Vocabulary.from_json(json.loads(json.dumps(found.to_json()))) == found


@quickly
@given(st.dictionaries(st.sampled_from(list(Config().to_flat())) | st.text(max_size=5), JSON, max_size=3))
def test_settings(flat: dict[str, Any]) -> None:
    try:
        config = Config.from_flat(flat)
    except BpttError as error:
        assert error.exit_code == 2 and error.todo
    else:
        assert Config.from_flat(config.to_flat()) == config


@quickly
@given(st.text(max_size=30) | st.from_regex(r"(truncated|randomized|adaptive|checkpointed|uoro)(:[a-z0-9]+=.{0,6}){0,2}"))
def test_a_strategy(written: str) -> None:
    try:
        parse_strategy(written)
    except BpttError as error:
        assert error.exit_code == 2


@quickly
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_bytes_in_the_place_of_any_file(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("fuzzed")
    path: Path = folder / "file"
    path.write_bytes(content)
    (folder / "file.json").write_bytes(content)
    for reader in (read_yaml, read_text, open_corpus, lambda p: read_text(p, unit="word"), lambda p: read_text(p, unit="byte")):
        try:
            reader(path)  # type: ignore[operator]
        except BpttError as error:
            assert error.exit_code == 2


@quickly
@given(st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()), st.integers(0, 4))
def test_bytes_in_the_place_of_a_file_that_the_manifest_vouches_for(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, which: int
) -> None:
    folder = tmp_path_factory.mktemp("vouched")
    path = checkpoint.save(folder, 1, {"w": torch.ones(2)}, {"kind": "x"}, {"a": torch.ones(1)})
    name = [*checkpoint.FILES, "manifest.json"][which]
    (path / name).write_bytes(content)
    if name in checkpoint.FILES:
        files = {file: (path / file).read_bytes() for file in checkpoint.FILES}
        (path / "manifest.json").write_text(json.dumps(checkpoint.manifest(1, None, files)))
    try:
        checkpoint.read(path)
    except CheckpointError:
        return
    assert name.endswith(".json") and name != "manifest.json"
