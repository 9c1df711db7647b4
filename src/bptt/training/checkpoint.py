"""Checkpoints: whole or absent, verified on load, and nothing in them executes.

    checkpoints/step-000120/{model.safetensors, state.safetensors, state.json, model.json, manifest.json}
    checkpoints/last → step-000120        checkpoints/best → step-000080

Knows files and nests of tensors; must not know what is trained. A checkpoint is written into a hidden directory, flushed, and
renamed; the manifest holds the SHA-256 of every file and of itself.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from bptt.errors import CheckpointError
from bptt.files import sync_directory, to_json, write_durably
from bptt.training.health import check_saved
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
    folder: Path, step: int, parameters: dict[str, Tensor], model: Any, state: Any, *, best: bool = False, keep: int = 2
) -> Path:
    """Write checkpoint `step` into `folder`, point `last` (and `best`) at it, and keep the newest `keep` and the best.

    parameters  tensors by name; model: a JSON value that describes what they belong to; state: a nest (see `pack`)

    Raises DivergedError, saving nothing, if a tensor is not finite; OSError if the disk refuses.
    """
    from safetensors.torch import save as to_bytes

    tensors, skeleton = pack(state)
    check_saved([*parameters.items(), *((f"saved state {name}", value) for name, value in tensors.items())], step)
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "model.safetensors": to_bytes({name: value.detach().cpu().contiguous() for name, value in parameters.items()}),
        "state.safetensors": to_bytes({name: value.cpu().contiguous() for name, value in tensors.items()}),
        "state.json": to_json(skeleton).encode(),
        "model.json": to_json(model).encode(),
    }
    target = folder / f"step-{step:06d}"
    _write(folder, target, content, manifest(step, content))
    _point(folder / "last", target.name)
    if best:
        _point(folder / "best", target.name)
    _prune(folder, keep)
    return target


def manifest(step: int, content: dict[str, bytes]) -> dict[str, Any]:
    """Digest and size of every file, and a digest over these."""
    files = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in content.items()}
    facts: dict[str, Any] = {"format": FORMAT, "step": step, "files": files}
    return {**facts, "sha256": _digest(facts)}


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _write(folder: Path, target: Path, content: dict[str, bytes], facts: dict[str, Any]) -> None:
    draft, old = folder / f".{target.name}.tmp", folder / f"{target.name}.old"
    shutil.rmtree(draft, ignore_errors=True)  # left by a process that died here
    draft.mkdir()
    try:
        for name, data in content.items():
            write_durably(draft / name, data)
        write_durably(draft / "manifest.json", to_json(facts, indent=1))
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


def _point(link: Path, name: str) -> None:
    draft = link.with_name(f".{link.name}.tmp")
    draft.unlink(missing_ok=True)
    os.symlink(name, draft)
    os.replace(draft, link)
    sync_directory(link.parent)


def _prune(folder: Path, keep: int) -> None:
    best = _pointed(folder / "best")
    for path in steps(folder)[keep:]:
        if path.name != best:
            shutil.rmtree(path, ignore_errors=True)


def steps(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, newest first; drafts and everything that is no plain directory are not among them."""
    named = [(re.fullmatch(r"step-(\d{6,})(\.old)?", path.name), path) for path in folder.glob("step-*")]
    found = [((int(name[1]), not name[2]), path) for name, path in named if name and path.is_dir() and not path.is_symlink()]
    return [path for _, path in sorted(found, reverse=True)]


def _pointed(link: Path) -> str | None:
    """The name that a link of ours points at, never anything outside the folder."""
    try:
        name = os.readlink(link)
    except OSError:
        return None
    return name if re.fullmatch(r"step-\d{6,}", name) else None


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
            log.warning("Checkpoint %s is damaged and passed over: %s (%s).", path.name, error.wrong, error.given)
    if complaints:
        raise CheckpointError("No checkpoint here is whole", "; ".join(complaints), "Restore the run directory from a copy")
    raise CheckpointError("There is no checkpoint yet", str(folder), "Train until the first one is saved")


def _candidates(folder: Path, which: str) -> Iterator[Path]:
    best = _pointed(folder / "best") if which == "best" else None
    newest = steps(folder)
    if best is not None:
        yield from (path for path in newest if path.name == best)
    yield from (path for path in newest if path.name != best)


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
    return Saved(path, facts["step"], parameters, model, unpack(tensors, skeleton))


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(_bytes(path / "manifest.json"))
        claimed = facts.pop("sha256")
        if _digest(facts) != claimed:
            raise ValueError("its own digest is wrong")
        if facts["format"] != FORMAT:
            raise CheckpointError(
                "The checkpoint has another format", f"format {facts['format']}, this is {FORMAT}", "Use the bptt that wrote it"
            )
        if set(facts["files"]) != set(FILES) or type(facts["step"]) is not int:
            raise ValueError("it lists other files")
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
