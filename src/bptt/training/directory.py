"""A run directory: what is in it, who may write into it, and what may be replaced.

    config.yaml env.json corpus.json metrics.jsonl checkpoints/ samples.txt report.html compare.json diagnose.json
    and of a forecast: forecast.json forecast.csv forecaster.json forecaster.safetensors plots/

Knows names and files; must not know what training does. Nothing is overwritten unasked, and nothing foreign ever.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bptt.errors import CheckpointError, InputError
from bptt.files import to_json, write_durably

TOKENS = "tokens.bin"
OURS = (
    *("config.yaml", "env.json", "corpus.json", "metrics.jsonl", "samples.txt", "report.html", TOKENS, f"{TOKENS}.json"),
    *("compare.json", "diagnose.json"),
    *("forecast.json", "forecast.csv", "forecaster.json", "forecaster.safetensors"),
)
FOLDERS = ("checkpoints", "tensorboard", "plots")


def _is_draft(name: str) -> bool:
    """True for what a process that died while writing one of our files has left."""
    return any(name.startswith(f".{ours}.") and name.endswith(".tmp") for ours in OURS)


def as_json(name: str, value: Any) -> str:
    """What a JSON file shall hold; InputError if JSON has no word for it."""
    try:
        return to_json(value, indent=1) + "\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{name} cannot hold this", str(error), "Give strings, numbers, lists and dicts") from error


def as_yaml(config: Mapping[str, Any]) -> str:
    """What config.yaml shall hold; InputError if YAML has no word for it."""
    import yaml

    try:
        return yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        given = str(error).splitlines()[0]
        raise InputError("config.yaml cannot hold this", given, "Give strings, numbers, lists and dicts") from error


class RunDirectory:
    """The files of one run below `path`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def tokens(self) -> Path:
        """The text, as ids, if it could not be read again from where it came."""
        return self.path / TOKENS

    def make(self) -> list[Path]:
        """The directory itself, so that it can be locked; which directories were not there before, the innermost first."""
        if self.path.exists() and not self.path.is_dir():
            raise InputError("The run directory is a file", str(self.path), "Give the name of a directory")
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                "The run directory cannot be made", f"{self.path}: {error.strerror}", "Give another place"
            ) from error
        return made

    def withdraw(self, made: list[Path]) -> None:
        """Remove the directories that `make` made, and the lock, if nothing else came to lie there; whoever calls holds it."""
        if not made or {entry.name for entry in self.path.iterdir()} - {".lock"}:
            return
        with contextlib.suppress(OSError):  # of a system that keeps open files, or because somebody put something there
            (self.path / ".lock").unlink(missing_ok=True)
            for folder in made:
                folder.rmdir()

    def is_run(self) -> bool:
        """True if there is a run in it."""
        return (self.path / "config.yaml").is_file()

    def require(self) -> RunDirectory:
        """Itself, if there is a run in it."""
        if not self.path.exists():
            raise CheckpointError("There is no such run directory", str(self.path), "`bptt runs` lists the runs here")
        if not self.is_run():
            raise CheckpointError(
                "This is not a run directory", f"{self.path} has no config.yaml", "`bptt runs` lists the runs here"
            )
        self._refuse_links()
        return self

    def _refuse_links(self) -> None:
        """CheckpointError for a link in a run's place: what is written and removed here must lie here."""
        link = next((name for name in (*OURS, *FOLDERS) if (self.path / name).is_symlink()), None)
        if link is not None:
            raise CheckpointError("The run directory holds a link", str(self.path / link), "Put the file itself in its place")

    def check_room(self, *, overwrite: bool) -> None:
        """InputError unless a new run may start here: an existing one goes only if asked, files that are not a run's never."""
        present = {entry.name for entry in self.path.iterdir() if entry.name != ".lock" and not _is_draft(entry.name)}
        if not present:
            return
        foreign = present - {*OURS, *FOLDERS}
        if foreign or not self.is_run():
            raise InputError(
                "The directory holds files that are not a run's",
                f"{self.path}: {', '.join(sorted(foreign or present)[:5])}",
                "Give another directory",
            )
        if not overwrite:
            raise InputError(
                "There is a run in this directory already",
                str(self.path),
                "Continue it with --resume, replace it with --overwrite, or give another directory",
            )
        self._refuse_links()

    def clear(self) -> None:
        """Remove the run that is here; config.yaml, which makes it one, last."""
        for name in FOLDERS:
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in (*(entry.name for entry in self.path.iterdir() if _is_draft(entry.name)), *reversed(OURS)):
            (self.path / name).unlink(missing_ok=True)

    def write(self, name: str, text: str) -> None:
        """One of the files, whole or not at all."""
        write_durably(self.path / name, text)

    def read_json(self, name: str) -> Any:
        """One of the JSON files; CheckpointError if it is not readable."""
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(
                f"{name} of the run cannot be read", f"{self.path}: {error}", "Restore it from a copy"
            ) from error

    def write_config(self, config: Mapping[str, Any]) -> None:
        """config.yaml."""
        self.write("config.yaml", as_yaml(config))

    def read_config(self) -> dict[str, Any]:
        """config.yaml; CheckpointError if it is not readable."""
        import yaml

        try:
            config = yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
            given = f"{self.path}: {error}".splitlines()[0]
            raise CheckpointError("config.yaml of the run cannot be read", given, "Restore it from a copy") from error
        if not isinstance(config, dict):
            raise CheckpointError("config.yaml of the run holds no settings", str(self.path), "Restore it from a copy")
        return config
