"""Checkpoints: whole or absent whatever the disk does, damage found, nothing executed."""

from __future__ import annotations

import builtins
import errno
import json
import logging
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import digest

from bptt.errors import CheckpointError, DivergedError
from bptt.training import checkpoint
from bptt.training.checkpoint import load, save, steps


def value(step: int) -> dict[str, Any]:
    return {"step": step, "carry": torch.full((2, 3), float(step)), "half": torch.ones(3, dtype=torch.bfloat16)}


def put(folder: Path, step: int, **more: Any) -> Path:
    return save(folder, step, {"w": torch.arange(float(step))}, {"kind": "test"}, value(step), **more)


def is_whole(saved: checkpoint.Saved) -> bool:
    """True if everything in it is of one and the same step."""
    wanted = [saved.step, {"w": torch.arange(float(saved.step))}, {"kind": "test"}, value(saved.step)]
    return digest([saved.step, saved.parameters, saved.model, saved.state]) == digest(wanted)


# --- a disk that fails, a process that dies


class HardStop(BaseException):
    """The process is gone: from here on no call of the system has any effect."""


class Disk:
    """Counts the calls that write; fails at the nth, before or after it is done; a dead process does nothing any more."""

    NAMES = ("fsync", "rename", "replace", "mkdir", "symlink", "unlink", "rmdir", "write")

    def __init__(self, at: int, error: BaseException, *, after: bool = False) -> None:
        self.at, self.error, self.after = at, error, after
        self.calls, self.dead = 0, False

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            self.calls += 1
            if self.dead:
                raise self.error
            if self.calls != self.at:
                return function(*args, **named)
            self.dead = isinstance(self.error, HardStop)
            if self.after:
                function(*args, **named)
            raise self.error

        return call


class Shredded:
    """An open file whose writes count; one that fails has written the first half."""

    def __init__(self, file: Any, disk: Disk) -> None:
        self.file, self.disk = file, disk

    def write(self, data: bytes) -> int:
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        return self.disk.wrap(lambda: self.file.write(data[len(data) // 2 :]))()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: Any) -> None:
        self.file.close()


def run_on(disk: Disk, action: Callable[[], Any]) -> bool:
    """True if the action survives the disk."""
    with pytest.MonkeyPatch.context() as patch:
        for name in Disk.NAMES[:-1]:
            patch.setattr(os, name, disk.wrap(getattr(os, name)))
        real = builtins.open
        patch.setattr(
            builtins,
            "open",
            lambda path, mode="r", **k: Shredded(real(path, mode, **k), disk) if "x" in mode else real(path, mode, **k),
        )
        try:
            action()
        except (OSError, HardStop):
            return False
    return True


def faults(action: Callable[[Path], Any], prepared: Path, work: Path, error: BaseException) -> Iterator[tuple[int, bool, Path]]:
    """The folder after each way in which `action` can be cut short; ends when a fault comes too late to matter."""
    for after in (False, True):
        for at in range(1, 200):
            folder = work / f"{after}-{at}"
            shutil.copytree(prepared, folder, symlinks=True)
            disk = Disk(at, error, after=after)
            run_on(disk, lambda folder=folder: action(folder))  # type: ignore[misc]
            if disk.calls < at:
                break
            yield at, after, folder
            shutil.rmtree(folder)


ACTIONS: dict[str, tuple[Callable[[Path], Any], set[int]]] = {
    "a new step": (lambda folder: put(folder, 3, best=3), {2, 3}),
    "the same step again": (lambda folder: put(folder, 2, best=2), {2}),
    "one that removes another": (lambda folder: put(folder, 4, best=2, keep=1), {2, 4}),
}
ERRORS = [OSError(errno.ENOSPC, "No space left on device"), HardStop()]


@pytest.mark.parametrize("error", ERRORS, ids=["disk full", "killed"])
@pytest.mark.parametrize("name", ACTIONS)
def test_the_newest_that_loads_is_the_old_or_the_new_one(name: str, error: BaseException, tmp_path: Path) -> None:
    """Whichever write, flush, rename or removal fails or is the last; and the next save puts everything right."""
    action, allowed = ACTIONS[name]
    prepared = tmp_path / "prepared"
    put(prepared, 1, best=1)
    put(prepared, 2, best=1)
    seen, count = set(), 0
    for at, after, folder in faults(action, prepared, tmp_path / "work", error):
        where = f"call {at}, after={after}"
        newest, best = load(folder), load(folder, "best")
        assert is_whole(newest) and newest.step in allowed, where
        assert is_whole(best) and best.step in {1, *allowed}, where
        seen.add(newest.step)
        put(folder, 5, best=5)
        assert load(folder).step == load(folder, "best").step == 5, where
        assert not list(folder.glob(".step-*")), where
        count += 1
    assert seen == allowed
    assert count > 30


def test_a_full_disk_leaves_no_draft_and_names_the_path(tmp_path: Path) -> None:
    put(tmp_path, 1)
    disk = Disk(2, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError, match=r"No space left.* bytes") as caught:
        patch.setattr(os, "fsync", disk.wrap(os.fsync))
        put(tmp_path, 2)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / "step-000002")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir() and not path.is_symlink()] == ["step-000001"]


def test_every_file_is_flushed_before_its_name_counts(tmp_path: Path) -> None:
    """Files, then the draft's names, then the rename, then the folder's names."""
    log: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        rename = os.rename
        patch.setattr(os, "fsync", lambda handle: log.append(os.path.basename(os.readlink(f"/proc/self/fd/{handle}"))))
        patch.setattr(os, "rename", lambda a, b: (log.append("rename"), rename(a, b)))
        put(tmp_path / "checkpoints", 1)
    files = [*checkpoint.FILES, "manifest.json"]
    assert log[-3:] == [".step-000001.tmp", "rename", "checkpoints"]
    assert set(files) <= set(log[:-3])


def test_a_file_system_without_links_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", refuse)
    for step in (1, 2, 3, 4):
        put(tmp_path, step, best=2 if step > 1 else 1)
    assert (load(tmp_path).step, load(tmp_path, "best").step) == (4, 2)


# --- what is kept


def test_the_newest_two_and_the_best_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4, 5):
        put(tmp_path, step, best=2 if step > 1 else 1)
    assert [path.name for path in steps(tmp_path)] == ["step-000005", "step-000004", "step-000002"]
    assert os.readlink(tmp_path / "best") == "step-000002"
    assert os.readlink(tmp_path / "last") == "step-000005"


def test_numbers_of_any_length_are_in_order(tmp_path: Path) -> None:
    for step in (999_999, 1_000_000):
        save(tmp_path, step, {"w": torch.zeros(1)}, {}, None)
    assert load(tmp_path).step == 1_000_000


def test_a_damaged_newer_one_does_not_displace_those_that_load(tmp_path: Path) -> None:
    put(tmp_path, 1)
    damage(put(tmp_path, 9) / "state.json")
    put(tmp_path, 2)
    put(tmp_path, 3)
    damage(tmp_path / "step-000003" / "state.json")
    assert load(tmp_path).step == 2


# --- damage


def damage(path: Path, bit: int = 8) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << (bit % 8)
    path.write_bytes(data)


def bit_flips(path: Path, count: int, seed: int) -> Iterator[int]:
    yield from random.Random(seed).sample(range(8 * path.stat().st_size), count)


@pytest.mark.parametrize("name", [*checkpoint.FILES, "manifest.json"])
def test_every_flipped_bit_and_every_cut_is_found(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """60 bits and 40 lengths per file, drawn from a seed: the one before is loaded, with one line that says why."""
    put(tmp_path, 1)
    path = put(tmp_path, 2) / name
    whole = path.read_bytes()
    damages: list[Callable[[], Any]] = [lambda bit=bit: damage(path, bit) for bit in bit_flips(path, 60, 1)]  # type: ignore[misc]
    lengths = [0, len(whole) - 1, *random.Random(2).choices(range(len(whole)), k=38)]
    damages += [lambda length=length: path.write_bytes(whole[:length]) for length in lengths]  # type: ignore[misc]
    damages += [path.unlink, lambda: path.write_bytes(whole + b"\0")]
    for harm in damages:
        harm()
        caplog.clear()
        with caplog.at_level(logging.WARNING, "bptt"):
            saved = load(tmp_path)
        assert saved.step == 1 and is_whole(saved)
        (record,) = caplog.records
        assert record.name == "bptt" and "step-000002 cannot be used" in record.getMessage() and "\n" not in record.getMessage()
        path.write_bytes(whole)
    assert load(tmp_path).step == 2


def test_a_damaged_best_gives_way_to_the_newest(tmp_path: Path) -> None:
    put(tmp_path, 1, best=1)
    put(tmp_path, 2, best=1)
    assert load(tmp_path, "best").step == 1
    damage(tmp_path / "step-000001" / "model.json")
    assert load(tmp_path, "best").step == 2


def test_nothing_whole_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        load(tmp_path)
    for step in (1, 2):
        damage(put(tmp_path, step) / "model.safetensors", 80)
    with pytest.raises(CheckpointError, match=r"No checkpoint here can be used.*step-000002.*step-000001"):
        load(tmp_path)


def test_a_checkpoint_under_another_number_is_none(tmp_path: Path) -> None:
    put(tmp_path, 1)
    os.rename(tmp_path / "step-000001", tmp_path / "step-000007")
    with pytest.raises(CheckpointError, match="No checkpoint here can be used"):
        load(tmp_path)


def test_another_format_says_so(tmp_path: Path) -> None:
    rewrite_manifest(put(tmp_path, 1), format=99)
    with pytest.raises(CheckpointError, match="another format"):
        load(tmp_path)


def rewrite_manifest(path: Path, **changes: Any) -> None:
    """A manifest that vouches for itself, as an attacker would write it."""
    facts = {**json.loads((path / "manifest.json").read_text()), **changes}
    facts.pop("sha256")
    facts["sha256"] = checkpoint._digest(facts)
    (path / "manifest.json").write_text(json.dumps(facts))


def vouch(path: Path) -> None:
    """The manifest over whatever lies there now."""
    content = {name: (path / name).read_bytes() for name in checkpoint.FILES}
    (path / "manifest.json").write_text(json.dumps(checkpoint.manifest(1, None, content)))


# --- hostile files


def test_a_pickle_in_the_place_of_tensors_is_never_executed(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    program = f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode()
    path = put(tmp_path / "checkpoints", 1)
    for name in checkpoint.FILES:
        whole = (path / name).read_bytes()
        (path / name).write_bytes(program)
        vouch(path)
        with pytest.raises(CheckpointError):
            load(tmp_path / "checkpoints")
        (path / name).write_bytes(whole)
    assert not canary.exists()


def test_a_manifest_that_points_elsewhere_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "checkpoints", 1)
    secret = tmp_path / "secret"
    secret.write_text("{}")
    files = json.loads((path / "manifest.json").read_text())["files"]
    for name in ("../../secret", str(secret)):
        rewrite_manifest(path, files={**files, name: files["model.json"]})
        with pytest.raises(CheckpointError, match="manifest"):
            load(tmp_path / "checkpoints")
    rewrite_manifest(path, files={name: {} for name in files})
    with pytest.raises(CheckpointError, match="manifest"):
        load(tmp_path / "checkpoints")


def test_links_in_a_checkpoint_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    path = put(folder, 1)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(path, elsewhere)
    (path / "model.json").unlink()
    os.symlink(elsewhere / "model.json", path / "model.json")
    with pytest.raises(CheckpointError, match=r"model\.json cannot be read"):
        load(folder)
    shutil.rmtree(path)
    os.symlink(elsewhere, path)
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        load(folder)
    save(folder, 2, {"w": torch.zeros(1)}, {}, None, keep=1)
    assert (elsewhere / "model.json").exists()


@pytest.mark.parametrize(
    "skeleton",
    [
        '{"$": "os.system"}',
        '{"$": ["tensor"]}',
        '{"$": "tensor", "name": "no"}',
        '{"$": "window", "parts": [1]}',
        "{}",
        "[" * 99_999,
    ],
)
def test_a_skeleton_that_we_did_not_write_is_an_error(skeleton: str, tmp_path: Path) -> None:
    path = put(tmp_path, 1)
    (path / "state.json").write_text(skeleton)
    vouch(path)
    with pytest.raises(CheckpointError, match="No checkpoint here can be used"):
        load(tmp_path)


# --- what is saved


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_never_saved(bad: float, tmp_path: Path) -> None:
    put(tmp_path, 1)
    with pytest.raises(DivergedError, match="w is not finite at update 2"):
        save(tmp_path, 2, {"v": torch.ones(2), "w": torch.tensor([1.0, bad])}, {}, None)
    with pytest.raises(DivergedError, match="saved state"):
        save(tmp_path, 2, {"v": torch.ones(2)}, {}, {"carry": torch.tensor([bad])})
    assert [path.name for path in steps(tmp_path)] == ["step-000001"]


def test_tensors_that_share_memory_are_saved_each_by_itself(tmp_path: Path) -> None:
    h = torch.arange(6.0)
    state = {"h": h, "again": h, "part": h[2:5], "wide": torch.ones(1).expand(4), "turned": h.view(2, 3).T}
    save(tmp_path, 1, {"w": h, "tied": h}, {}, state)
    loaded = load(tmp_path).state
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_the_type_of_a_saved_tensor_is_its_own(tmp_path: Path) -> None:
    kinds = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool]
    tensors = {str(kind): torch.ones(2, 2).to(kind) for kind in kinds}
    save(tmp_path, 1, tensors, {}, tensors)
    torch.set_default_dtype(torch.float64)
    saved = load(tmp_path)
    assert all(saved.parameters[str(kind)].dtype == saved.state[str(kind)].dtype == kind for kind in kinds)


def test_any_text_can_be_saved(tmp_path: Path) -> None:
    texts = ["é漢字🎲", "\ud800", "\0", "\u2028\x1b[31m"]
    save(tmp_path, 1, {}, texts, texts)
    assert load(tmp_path).model == load(tmp_path).state == texts
