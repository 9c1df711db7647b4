"""Files that nobody of us wrote, damaged at random or made to do harm: every command ends as it should, nothing is executed.

R4, and what R3 is to a checkpoint for all other files: exit code 0 or 2, one line per complaint, no traceback, no canary.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import pickle  # noqa: TID251 - to make what must never be read
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from work import Round, Work

from bptt.cli import main
from bptt.training import checkpoint

TEXT = "".join(f"the {n % 7} cats saw {n % 5} dogs; “{n % 11}” 猫.\n" for n in range(60))
SERIES = "when,load,heat\n" + "".join(f"{n},{n % 12 + n / 100},{n % 5}\n" for n in range(160))
SMALL = (
    *("--hidden-size", "6", "--batch-size", "4", "--steps", "16", "--gradient", "truncated:k1=16", "--epochs", "2"),
    *("--threads", "1", "--sample-length", "5", "--quiet"),
)
FORECAST = (
    *("--hidden-size", "4", "--horizon", "4", "--steps", "12", "--epochs", "2", "--threads", "1", "--folds", "1", "--quiet"),
)


# --- runs to harm, and the commands that read them


def base(folder: Path) -> Path:
    """A finished language run with its tokens kept, a finished forecast, and what a new run would read."""
    made = folder / "base"
    made.mkdir()
    (made / "book.txt").write_text(TEXT, encoding="utf-8")
    (made / "load.csv").write_text(SERIES, encoding="utf-8")
    with contextlib.chdir(made):
        code, said = call("train", "book.txt", *SMALL, "--save-every", "20", "--test", "0.1", "--out", "run")
        assert code == 0, said
        code, said = call("forecast", "load.csv", "--target", "load", "--time", "when", *FORECAST, "--out", "forecast")
        assert code == 0, said
        for words in (("diagnose", "run", "--steps", "8", "--rows", "2"), ("report", "run", "forecast")):
            code, said = call(*words)
            assert code == 0, said
        (made / "settings.yaml").write_text((made / "run" / "config.yaml").read_text())
        import bptt

        bptt.read_text("book.txt", valid=0.1, test=0.1).save(made / "tokens.bin")
    return made


def call(*words: str) -> tuple[int, str]:
    """The exit code of a command, and what it said on standard error."""
    import torch

    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = main(list(words))
    torch.set_num_threads(1)
    return code, said.getvalue()


TRAIN = (*SMALL, "--epochs", "1", "--out", "new")
READERS: dict[str, list[tuple[str, ...]]] = {
    "run/config.yaml": [
        ("evaluate", "run"),
        ("generate", "run", "--length", "3"),
        ("train", "--resume", "run", "--epochs", "2", "--quiet"),
        ("runs", "."),
        ("report", "run"),
        ("diagnose", "run", "--steps", "8", "--rows", "2"),
    ],
    "run/corpus.json": [("evaluate", "run"), ("report", "run"), ("runs", ".")],
    "run/env.json": [("report", "run"), ("runs", ".")],
    "run/metrics.jsonl": [("report", "run"), ("runs", "."), ("train", "--resume", "run", "--epochs", "3", "--quiet")],
    "run/samples.txt": [("report", "run"), ("train", "--resume", "run", "--epochs", "3", "--quiet")],
    "run/diagnose.json": [("report", "run")],
    "run/tokens.bin": [("evaluate", "run"), ("train", "--resume", "run", "--epochs", "3", "--quiet")],
    "run/tokens.bin.json": [("evaluate", "run"), ("train", "--resume", "run", "--epochs", "3", "--quiet")],
    "forecast/config.yaml": [("forecast", "--resume", "forecast", "--quiet"), ("report", "forecast"), ("runs", ".")],
    "forecast/forecast.json": [("report", "forecast"), ("runs", ".")],
    "forecast/forecaster.json": [("load", "forecast")],
    "forecast/forecaster.safetensors": [("load", "forecast")],
    "forecast/corpus.json": [("report", "forecast")],
    "settings.yaml": [
        ("train", "--config", "settings.yaml", "--epochs", "1", "--sample-length", "3", "--out", "new", "--quiet")
    ],
    "book.txt": [("train", "book.txt", *TRAIN), ("evaluate", "run", "book.txt"), ("stats", "book.txt")],
    "load.csv": [
        ("forecast", "load.csv", "--target", "load", "--model", "naive", "--against", "none", "--out", "new", "--quiet")
    ],
}
CHECKPOINT: list[tuple[str, ...]] = [
    ("generate", "run", "--length", "3", "--checkpoint", "last"),
    ("evaluate", "run"),
    ("train", "--resume", "run", "--epochs", "3", "--quiet"),
    ("score", "run", "the cats"),
]
PARTS = (*checkpoint.FILES, "manifest.json")


def ends_well(words: tuple[str, ...], trusted: bool = False) -> None:
    """The command works, or refuses in our own words; a setting of the user's may also ask for more memory than there is."""
    if words[0] == "load":
        return loads_well(words[1])
    code, said = call(*words)
    told = f"{' '.join(words)} → {code}: {said}"
    assert "error: unexpected:" not in said and "Traceback" not in said, told
    assert code in (0, 2) or (code == 1 and trusted and "not enough memory" in said), told
    assert code == 0 or said.strip(), told
    assert all(line.startswith("bptt: ") for line in said.splitlines()), told
    return None


def loads_well(folder: str) -> None:
    """A forecaster is read by the library alone."""
    import bptt

    with contextlib.suppress(bptt.BpttError):
        bptt.Forecaster.load(folder).predict()


# --- harm at random

VALUES: list[Any] = [
    *(None, True, -1, 0, 1, 3, 2**31, 2**40, 2**63, 2**70, -(2**70), 0.5, -0.5, 1e308, float("nan"), float("inf")),
    *("", "x", "x" * 3000, "../../secret", "/etc/passwd", "\ud800", "\0", "\x1b[31m", "truncated:k1=3", "1e999", "-"),
    *([], {}, [[]], [1, "a", None], {"$": "tensor", "name": "t0"}, {"strategy": "Full"}, {"a": {"b": 1}}, ["run"] * 3),
]


def deep() -> Any:
    """Nested further than Python reads."""
    made: Any = []
    for _ in range(3000):
        made = [made]
    return made


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from nodes(inner, (*path, key))


def altered(value: Any, draw: random.Random) -> Any:
    """`value` with one value in it replaced, removed, doubled, or under another name."""
    value = copy.deepcopy(value)
    # A place at any depth is as likely as one at another: most places are deep.
    places: dict[int, list[tuple[Any, ...]]] = {}
    for path in nodes(value):
        places.setdefault(len(path), []).append(path)
    *to, last = ["root", *draw.choice(draw.choice(list(places.values())))]
    holder: Any = {"root": value}
    top = holder
    for key in to:
        holder = holder[key]
    how = draw.randrange(8)
    if how == 0 and isinstance(holder, dict) and holder is not top:
        del holder[last]
    elif how == 1 and isinstance(holder, dict) and holder is not top:
        holder[draw.choice(["", "x", "kind", "format", "vocab", "epochs"])] = holder.pop(last)
    elif how == 2 and isinstance(holder, list):
        holder.append(copy.deepcopy(draw.choice(holder)))
    elif how == 3 and isinstance(holder[last], int | float) and not isinstance(holder[last], bool):
        holder[last] = draw.choice([-holder[last], holder[last] + 1, str(holder[last]), float(holder[last]), [holder[last]]])
    else:
        holder[last] = copy.deepcopy(draw.choice(VALUES))
    return top["root"]


def mangled(data: bytes, draw: random.Random) -> bytes:
    """`data` with bits, bytes or stretches changed."""
    made, how = bytearray(data), draw.randrange(7)
    at = draw.randrange(len(made) + 1)
    if how == 0:
        for _ in range(draw.choice([1, 3, 30])):
            made[draw.randrange(len(made))] ^= 1 << draw.randrange(8)
    elif how == 1:
        del made[at:]
    elif how == 2:
        del made[at : at + draw.randrange(1, 50)]
    elif how == 3:
        made[at:at] = draw.randbytes(draw.choice([1, 8, 300]))
    elif how == 4:
        made[at:at] = made[at : at + 60] * draw.choice([1, 2, 50])
    elif how == 5:
        made[at:at] = draw.choice(
            [b"\0", b"\xff\xfe", b"\r", "\u2028".encode(), b"{", b"]", b'"', b"\n- ", b": ", b"&a *a", b"1e999"]
        )
    else:
        made = bytearray(
            draw.choice([b"", b"\0" * 9, b"null", b"[]", b"{}", b"1", b'"x"', b"[" * 5000, b"{a: " * 500, b"\xff" * 30])
        )
    return bytes(made)


def alter(path: Path, draw: random.Random) -> None:
    """Harm a file, half of the time within its own grammar."""
    data = path.read_bytes()
    if draw.random() < 0.4 or path.suffix not in (".json", ".jsonl", ".yaml", ".safetensors"):
        path.write_bytes(mangled(data, draw))
    elif path.suffix == ".yaml":
        import yaml

        changed = altered(yaml.safe_load(data), draw)
        path.write_bytes(yaml.safe_dump(changed, allow_unicode=True).encode("utf-8", "surrogatepass"))
    elif path.suffix == ".jsonl":
        lines = data.decode().splitlines()
        n = draw.randrange(len(lines))
        lines[n] = json.dumps(altered(json.loads(lines[n]), draw))
        path.write_text("\n".join(lines) + "\n")
    elif path.suffix == ".safetensors":
        path.write_bytes(other_tensors(data, draw))
    else:
        made = json.dumps(altered(json.loads(data), draw))
        path.write_text("[" * 4000 if draw.random() < 0.02 else made)


def other_tensors(data: bytes, draw: random.Random) -> bytes:
    """A valid file of tensors, one of which is missing, of another shape or type, or holds no numbers."""
    import torch
    from safetensors.torch import load, save

    tensors = load(data)
    name = draw.choice(sorted(tensors))
    value, how = tensors[name], draw.randrange(6)
    if how == 0:
        del tensors[name]
    elif how == 1:
        tensors["other" if "t0" not in tensors else "t999"] = tensors.pop(name)
    elif how == 2:
        tensors[name] = value.reshape(-1)[: draw.randrange(value.numel() + 1)].clone()
    elif how == 3:
        tensors[name] = value.to(draw.choice([torch.float64, torch.int64, torch.bool, torch.float16]))
    elif how == 4:
        tensors[name] = torch.full_like(value, float("nan")) if value.is_floating_point() else torch.full_like(value, -1)
    else:
        tensors[name] = value[None].clone()
    return save(tensors)


def vouch(path: Path) -> None:
    """A manifest that is right for whatever lies there now, as an attacker would write it."""
    files = {name: (path / name).read_bytes() for name in checkpoint.FILES}
    before = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(checkpoint.manifest(before["step"], before["best"], files)))


def resigned(path: Path, draw: random.Random) -> None:
    """A manifest with something else in it and the right digest over it."""
    facts = altered(json.loads(path.read_text()), draw)
    if isinstance(facts, dict):
        facts.pop("sha256", None)
        with contextlib.suppress(TypeError, ValueError):
            facts["sha256"] = checkpoint._digest(facts)
    path.write_text(json.dumps(facts))


def place_tokens(folder: Path) -> None:
    """The run keeps its tokens, as one whose text cannot be read again."""
    for name in ("tokens.bin", "tokens.bin.json"):
        shutil.copy(folder / name, folder / "run" / name)


def fuzz_files(work: Work) -> None:
    """A round harms one file and lets one command read it."""
    made, names = base(work.folder), list(READERS)
    for round in work.rounds():
        name = names[round.number % len(names)]
        words = round.random.choice(READERS[name])
        with copied(made, round, "tokens" in name):
            alter(Path(name), round.random)
            with work.naming((name, words)):
                ends_well(words, trusted=name.endswith(".yaml"))
    work.reached["files"] = f"{work.done} harmed, each read by a command or refused in one line"


def fuzz_checkpoints(work: Work) -> None:
    """A round harms a file of every checkpoint of a run, such that the manifest vouches for it, and lets a command read it."""
    made = base(work.folder)
    for round in work.rounds():
        name, draw = PARTS[round.number % len(PARTS)], round.random
        words, seed = draw.choice(CHECKPOINT), draw.getrandbits(30)
        with copied(made, round, False):
            for path in checkpoint.steps(Path("run/checkpoints")):
                again = random.Random(seed)
                if name == "manifest.json":
                    resigned(path / name, again)
                else:
                    alter(path / name, again)
                    vouch(path)
            with work.naming((name, words)):
                ends_well(words)
    work.reached["files"] = f"{work.done} harmed and vouched for, each read by a command or refused in one line"


@contextlib.contextmanager
def copied(made: Path, round: Round, tokens: bool) -> Iterator[None]:
    """Within a copy of everything."""
    place = round.folder / "copy"
    shutil.copytree(made, place, symlinks=True)
    with contextlib.chdir(place):
        if tokens:
            place_tokens(Path())
        yield


# --- harm on purpose


class Reducer:
    """What makes a pickle run a program when it is read."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.canary}",)


def as_zip(canary: Path) -> bytes:
    """As torch.save writes it: a zip with a pickle in it; and a name that leads out of it."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Reducer(canary)))
        file.writestr("archive/version", "3")
        file.writestr(f"../../../../../../../..{canary}", "")
    return made.getvalue()


def as_tar(canary: Path) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as file:
        file.addfile(tarfile.TarInfo(f"../../../../../../../..{canary}"))
    return made.getvalue()


PAYLOADS: dict[str, Callable[[Path], bytes]] = {
    "pickle": lambda canary: pickle.dumps(Reducer(canary)),
    "old pickle": lambda canary: f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode(),
    "zip": as_zip,
    "tar": as_tar,
    "yaml": lambda canary: f'a: !!python/object/apply:os.system ["touch {canary}"]\n'.encode(),
    "yaml module": lambda canary: b"gradient:\n  class_path: os.system\n  init_args: {command: 'touch CANARY'}\n".replace(
        b"CANARY", str(canary).encode()
    ),
    "expression": lambda canary: f"gradient: \"__import__('os').system('touch {canary}')\"\n".encode(),
    "script": lambda canary: f"#!/bin/sh\ntouch {canary}\n".encode(),
    "skeleton": lambda canary: json.dumps({"$": "os.system", "parts": [f"touch {canary}"]}).encode(),
    "description": lambda canary: json.dumps(
        {"kind": "os.system", "settings": {"cell": f"touch {canary}"}, "vocab": 3}
    ).encode(),
}


def hostile(work: Work) -> None:
    """A round puts something executable in the place of a file, vouched for, and lets every command that reads it do so."""
    made = base(work.folder)
    places = [*READERS, *(f"run/checkpoints/{name}" for name in PARTS)]
    for round in work.rounds():
        kind = list(PAYLOADS)[round.number % len(PAYLOADS)]
        name = places[round.number // len(PAYLOADS) % len(places)]
        canary = round.folder / "canary"
        content = PAYLOADS[kind](canary)
        with copied(made, round, "tokens" in name):
            in_checkpoint = name.startswith("run/checkpoints/")
            if in_checkpoint:
                for path in checkpoint.steps(Path("run/checkpoints")):
                    (path / Path(name).name).write_bytes(content)
                    if Path(name).name in checkpoint.FILES:
                        vouch(path)
            else:
                Path(name).write_bytes(content)
            for words in CHECKPOINT if in_checkpoint else READERS[name]:
                with work.naming((kind, name, words)):
                    ends_well(words, trusted=True)
                    assert not canary.exists()
    work.reached["executed"] = f"0 of {work.done} ({len(PAYLOADS)} kinds of program, {len(places)} places)"


LINKED = (
    "config.yaml",
    "env.json",
    "corpus.json",
    "metrics.jsonl",
    "samples.txt",
    "report.html",
    "checkpoints",
    ".lock",
    "tensorboard",
)


def links(work: Work) -> None:
    """A round puts a link to a file of the user's in the place of a file of the run; no command changes what it points at."""
    made = base(work.folder)
    writers: list[tuple[str, ...]] = [
        ("train", "--resume", "run", "--epochs", "3", "--quiet"),
        ("train", "book.txt", *SMALL, "--out", "run", "--overwrite"),
        ("report", "run"),
        ("diagnose", "run", "--steps", "8", "--rows", "2"),
    ]
    for round in work.rounds():
        name, words = LINKED[round.number % len(LINKED)], writers[round.number // len(LINKED) % len(writers)]
        with copied(made, round, False):
            place, mine = Path("run") / name, round.folder / "mine"
            if place.is_dir():
                shutil.rmtree(place)
                shutil.copytree(made / "run" / "checkpoints", mine, symlinks=True)
            else:
                place.unlink(missing_ok=True)
                mine.write_text("five years of work")
            before = contents(mine)
            place.symlink_to(mine)
            with work.naming((name, words)):
                ends_well(words)
                assert contents(mine) == before
    work.reached["written through a link"] = f"0 of {work.done}"


def contents(path: Path) -> dict[str, bytes]:
    """The bytes of a file, or of all files in a folder."""
    return {str(p): p.read_bytes() for p in (path, *sorted(path.rglob("*"))) if p.is_file()}
