"""Checkpoints: whole or absent, verified on load, and nothing in them executes.

    checkpoints/step-000120/{model.safetensors, state.safetensors, state.json, model.json, manifest.json}
    checkpoints/last → step-000120        checkpoints/best → step-000080        (for people; loading does not need them)

Knows files and nests of tensors; must not know what is trained. A checkpoint is written into a hidden directory, flushed, and
renamed: that one rename makes it the newest, and says which one is the best. The manifest holds the SHA-256 of every file and
of itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bptt.errors import CheckpointError
from bptt.files import sync_directory, to_json
from bptt.training.health import check_saved, first_bad
from bptt.training.pack import pack, unpack

FORMAT = 1
FILES = ("model.safetensors", "state.safetensors", "state.json", "model.json")
log = logging.getLogger("bptt")


class Saved(NamedTuple):
    """A checkpoint as read: where from, its step, the parameters by name, the model's description, everything else."""

    path: Path
    step: int
    parameters: dict[str, Tensor]
    model: Any
    state: Any


def save(
    folder: Path, step: int, parameters: dict[str, Tensor], model: Any, state: Any, *, best: int | None = None, keep: int = 2
) -> Path:
    """Write checkpoint `step` into `folder`, and keep the newest `keep` and the best.

    parameters  tensors by name
    model       a JSON value that describes what they belong to
    state       a nest (see `pack`)
    best        the step of the best checkpoint so far; None: there is none yet

    Raises DivergedError, saving nothing, if a tensor is not finite; OSError, naming the path, if the disk refuses. Whatever
    happens, the newest checkpoint in `folder` that loads is the one before or this one.
    """
    from safetensors.torch import save as to_bytes

    tensors, skeleton = pack(state)
    check_saved([*parameters.items(), *((f"saved state {name}", value) for name, value in tensors.items())], step)
    content = {
        "model.safetensors": to_bytes(_own(parameters)),
        "state.safetensors": to_bytes(_own(tensors)),
        "state.json": _encoded(skeleton),
        "model.json": _encoded(model),
    }
    content["manifest.json"] = _encoded(manifest(step, best, content))
    target = folder / f"step-{step:06d}"
    try:
        _make(folder)
        _write(folder, target, content)
        _point(folder, {"last": step, "best": best})
        _prune(folder, step, best, keep)
    except OSError as error:
        size = sum(map(len, content.values()))
        reason = f"{error.strerror or error}, while writing a checkpoint of {size:,} bytes"
        raise OSError(error.errno, reason, str(target)) from error
    return target


def _own(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies in main memory, each with memory of its own: safetensors refuses tensors that share it."""
    return {name: value.detach().to("cpu").clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}


def _encoded(value: Any) -> bytes:
    return to_json(value).encode("utf-8", "surrogatepass")  # as `json.loads` reads bytes


def manifest(step: int, best: int | None, content: dict[str, bytes]) -> dict[str, Any]:
    """Digest and size of every file, and a digest over these."""
    files = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in content.items()}
    facts: dict[str, Any] = {"format": FORMAT, "step": step, "best": best, "files": files}
    return {**facts, "sha256": _digest(facts)}


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _make(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True)
        sync_directory(folder.parent)


def _write(folder: Path, target: Path, content: dict[str, bytes]) -> None:
    draft, old = folder / f".{target.name}.tmp", folder / f"{target.name}.old"
    for left in folder.glob(".step-*.tmp"):
        shutil.rmtree(left, ignore_errors=True)  # by a process that died here
    try:
        draft.mkdir()
        for name, data in content.items():
            with open(draft / name, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        sync_directory(draft)
        if target.exists():
            # The same step again, now with its validation, or after a resume. Between the two renames the old one still loads.
            shutil.rmtree(old, ignore_errors=True)
            os.rename(target, old)
        os.rename(draft, target)
        sync_directory(folder)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _point(folder: Path, links: dict[str, int | None]) -> None:
    """Links for people, where the file system has any."""
    for name, step in links.items():
        draft = folder / f".{name}.tmp"
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
            if step is not None:
                os.symlink(f"step-{step:06d}", draft)
                os.replace(draft, folder / name)


def _prune(folder: Path, step: int, best: int | None, keep: int) -> None:
    # One with a later number is none of ours: it was damaged when the run was resumed, and must not displace one that loads.
    ours = [path for path in steps(folder) if number(path) <= step]
    for path in ours[keep:]:
        if number(path) != best:
            shutil.rmtree(path, ignore_errors=True)


NAME = re.compile(r"step-(\d{6,})(\.old)?")


def number(path: Path) -> int:
    """The update at which the checkpoint of this name was made; -1 for other names."""
    match = NAME.fullmatch(path.name)
    return int(match[1]) if match else -1


def steps(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, newest first; drafts and everything that is no plain directory are not among them."""
    found = [path for path in folder.glob("step-*") if number(path) >= 0 and path.is_dir() and not path.is_symlink()]
    return sorted(found, key=lambda path: (number(path), path.suffix != ".old"), reverse=True)


def load(folder: Path, which: str = "last") -> Saved:
    """The newest checkpoint that is whole, or with which="best" the best one; a damaged one is passed over with one line.

    Raises CheckpointError if there is none.
    """
    complaints = []
    for path in _candidates(folder, which):
        try:
            return read(path)
        except CheckpointError as error:
            complaints.append(f"{path.name}: {error.wrong}, {error.given}")
            log.warning("Checkpoint %s cannot be used and is passed over: %s (%s).", path.name, error.wrong, error.given)
    if complaints:
        raise CheckpointError("No checkpoint here can be used", "; ".join(complaints), "Restore the run directory from a copy")
    raise CheckpointError("There is no checkpoint yet", str(folder), "Train until the first one is saved")


def _candidates(folder: Path, which: str) -> list[Path]:
    newest = steps(folder)
    if which == "best":
        best = next((facts["best"] for facts in map(_manifest_or_none, newest) if facts is not None), None)
        newest.sort(key=lambda path: number(path) != best)  # the best first, the others as they were
    return newest


def _manifest_or_none(path: Path) -> dict[str, Any] | None:
    try:
        return _read_manifest(path)
    except CheckpointError:
        return None


def read(path: Path) -> Saved:
    """One checkpoint, every byte verified; CheckpointError if anything is missing or changed."""
    from safetensors.torch import load as from_bytes

    facts = _read_manifest(path)
    content = {name: _read_file(path / name, facts["files"][name]) for name in FILES}
    try:
        parameters, tensors = from_bytes(content["model.safetensors"]), from_bytes(content["state.safetensors"])
        model, skeleton = json.loads(content["model.json"]), json.loads(content["state.json"])
    except Exception as error:  # the digest was right, so this is a file that nobody of us wrote
        raise CheckpointError("A file of the checkpoint has no valid content", str(error), "Use another checkpoint") from error
    bad = first_bad([*parameters.items(), *tensors.items()])
    if bad is not None:
        raise CheckpointError("A saved tensor is not finite", bad, "Use another checkpoint")
    return Saved(path, facts["step"], parameters, model, unpack(tensors, skeleton))


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(_bytes(path / "manifest.json"))
        claimed = facts.pop("sha256")
        if _digest(facts) != claimed:
            raise ValueError("its own digest is wrong")
        if facts["format"] != FORMAT:
            given = f"format {facts['format']}, this is {FORMAT}"
            raise CheckpointError("The checkpoint has another format", given, "Use the bptt that wrote it")
        if set(facts["files"]) != set(FILES) or facts["step"] != number(path):
            raise ValueError("it is of another checkpoint")
        if not all({"sha256", "bytes"} <= set(about) for about in facts["files"].values()) or "best" not in facts:
            raise ValueError("it is not complete")
    except CheckpointError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError("The manifest cannot be read", str(error), "Use another checkpoint") from error
    return facts


def _read_file(path: Path, expected: dict[str, Any]) -> bytes:
    try:
        data = _bytes(path)
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read", error.strerror or str(error), "Use another checkpoint") from error
    if len(data) != expected["bytes"] or hashlib.sha256(data).hexdigest() != expected["sha256"]:
        given = f"{len(data)} bytes, {expected['bytes']} were written"
        raise CheckpointError(f"{path.name} is not what was written", given, "Use another checkpoint")
    return data


def _bytes(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise FileNotFoundError(2, "no plain file", str(path))
    return path.read_bytes()
