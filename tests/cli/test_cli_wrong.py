"""Whatever a user can do wrong: the right exit code, one line that names it, and nothing overwritten."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path

import pytest
from cli_support import SMALL, Cli

from bptt.cli.ending import ending

WRONG = {
    "train --hiden-size 3": "Did you mean '--hidden-size'",
    "train --hidden_size 3": "Did you mean '--hidden-size'",
    "train --hidden-size big": "hidden_size='big'",
    "train --hidden-size 0": "hidden_size=0",
    "train --layers 0": "layers=0",
    "train --embedding-size -1": "embedding_size=-1",
    "train --batch-size 0": "batch_size=0",
    "train --steps 0": "steps=0",
    "train --epochs 2.5": "epochs='2.5'",
    "train --epochs": "--epochs",
    "train --lr nan": "lr=nan",
    "train --lr -0.1": "lr=-0.1",
    "train --lr inf": "lr=inf",
    "train --clip 0": "clip=0",
    "train --dropout 1.1": "dropout=1.1",
    "train --dropout nan": "dropout=nan",
    "train --gradient truncated:k1=8,k2=4": "k1=8, k2=4",
    "train --gradient trunctated:k1=8": "Did you mean 'truncated'",
    "train --gradient truncated": "needs k1",
    "train --cell gruu": "Did you mean 'gru'",
    "train --optimizer adm": "Did you mean 'adam'",
    "train --nonlinearity relu --cell gru": "nonlinearity",
    "train --cell tdn": "Did you mean 'tdnn'",
    "train --cell tdnn --kernel-size 0": "kernel_size=0",
    "train --cell tdnn --dilations 1,x": "dilations='1,x'. Give for example dilations=1,2,4",
    "train --cell tdnn --dilations 1,2": "layers=2",
    "train --cell tdnn --teacher-forcing 0.5": "Use output-to-hidden",
    "train --kernel-size 3": "Use tdnn",
    "train --cell output-to-hidden --teacher-forcing 2": "teacher_forcing=2",
    "train --cell output-to-hidden --forcing-schedule linaer": "Did you mean 'linear'",
    "train --cell output-to-hidden --layers 2": "one layer",
    "train --momentum 0.9": "momentum",
    "train --tie-weights --embedding-size 3": "Tied weights",
    "train --dtype float": "Did you mean 'float",
    "train --device tpu": "device='tpu'",
    "train --device cuda:99": "cuda:99",
    "train --valid 0.9 --test 0.2": "valid 0.9",
    "train --valid nan": "valid nan",
    "train --max-tokens 1": "max_tokens",
    "train --encoding utf9": "utf9",
    "train --unit wrd": "Did you mean 'word'",
    "train --unit byte --min-freq 3": "bytes",
    "train --config missing.yaml": "missing.yaml",
    "train --config unknown.yaml": "Did you mean 'hidden_size'",
    "train --config type.yaml": "epochs=[1]",
    "train --config path.yaml": "gradient",
    "train --resume missing": "missing",
    "train --resume folder": "folder",
    "train missing.txt": "missing.txt",
    "train python-doc": "Did you mean 'python-docs'",
    "train folder": "folder",
    "train empty.txt": "empty",
    "train one.txt": "one token",
    "train latin.txt": "byte offset",
    "train pipe": "regular file",
    "train book.txt --out book.txt": "book.txt",
    "train book.txt --out folder": "Give another directory",
    "train book.txt --out book.txt/run": "book.txt",
    "evaluate missing": "missing",
    "evaluate folder": "folder has no config.yaml",
    "evaluate": "RUN",
    "evaluate missing --part all": "part",
    "evaluate missing text --part train": "--part",
    "generate missing": "missing",
    "generate missing --length two": "length='two'",
    "generate missing --bogus": "--bogus",
    "score missing text": "missing",
    "score missing": "SENTENCE",
    "report missing": "missing",
    "report folder": "folder",
    "runs missing": "missing",
    "runs runs extra": "'extra'",
    "trian": "No such command 'trian'. Did you mean 'train'?",
    "--verson": "No such flag '--verson'",
    "doctor now": "'now'",
}


@pytest.fixture
def mess(here: Path) -> Path:
    """Files that no command should accept."""
    (here / "folder").mkdir()
    (here / "folder" / "thesis.tex").write_text("five years of work")
    (here / "empty.txt").write_text("")
    (here / "one.txt").write_text("a")
    (here / "latin.txt").write_bytes("ein schönes Buch".encode("latin-1"))
    (here / "unknown.yaml").write_text("hiden-size: 3\n")
    (here / "type.yaml").write_text("epochs: [1]\n")
    (here / "path.yaml").write_text("gradient:\n  class_path: os.system\n")
    os.mkfifo(here / "pipe")
    return here


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.mark.parametrize("words", WRONG)
def test_one_line_that_names_it(cli: Cli, mess: Path, words: str) -> None:
    before = contents(mess)
    ended = cli(*words.split())
    assert ended.code == 2
    assert len(ended.lines) == 1 and ended.err.startswith("bptt: error: ") and ended.out == ""
    assert WRONG[words] in ended.err and "Traceback" not in ended.err
    assert contents(mess) == before


def test_a_run_is_not_overwritten_unasked(cli: Cli, trained: Path) -> None:
    before = contents(trained)
    ended = cli("train", "book.txt", *SMALL, "--out", trained)
    assert ended.code == 2 and "--overwrite" in ended.err and "--resume" in ended.err and len(ended.lines) == 1
    assert contents(trained) == before


def test_a_run_with_foreign_files_is_not_replaced_even_if_asked(cli: Cli, here: Path) -> None:
    assert cli("train", "book.txt", *SMALL, "--out", "a").code == 0
    (here / "a" / "notes.md").write_text("mine")
    before = contents(here)
    ended = cli("train", "book.txt", *SMALL, "--out", "a", "--overwrite")
    assert ended.code == 2 and "notes.md" in ended.err and contents(here) == before


def test_a_run_without_a_whole_checkpoint(cli: Cli, here: Path) -> None:
    assert cli("train", "book.txt", *SMALL, "--out", "a").code == 0
    for path in (here / "a" / "checkpoints").glob("step-*/model.safetensors"):
        path.write_bytes(b"junk")
    ended = cli("generate", "a")
    assert ended.code == 2 and "No checkpoint here can be used" in ended.lines[-1]
    assert all(line.startswith("bptt: ") for line in ended.lines)


def test_a_damaged_checkpoint_is_passed_over_with_a_note(cli: Cli, here: Path) -> None:
    assert cli("train", "book.txt", *SMALL, "--out", "a").code == 0
    newest = max((here / "a" / "checkpoints").glob("step-*"))
    (newest / "model.safetensors").write_bytes(b"junk")
    ended = cli("generate", "a", "the ", "--checkpoint", "last")
    assert ended.code == 0 and len(ended.lines) == 1 and newest.name in ended.err and ended.err.startswith("bptt: note: ")


def test_a_note_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        for message in ("one", "two", "one"):
            warnings.warn(message, stacklevel=1)
            logging.getLogger("bptt").warning(message)
            warnings.warn("of no interest to a user", DeprecationWarning, stacklevel=1)
        return 0

    assert ending(command) == 0
    assert capsys.readouterr().err == "bptt: note: one.\nbptt: note: two.\n"


def raising(error: BaseException) -> int:
    def command() -> int:
        raise error

    return ending(command)


def test_other_ends(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    cases = (
        (OSError(28, "No space left on device", "runs/a/x"), 1, "runs/a/x"),
        (PermissionError(13, "Permission denied", "runs/a"), 1, "permissions"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("of\nlines\x1b[31m"), 1, "BPTT_DEBUG=1"),
        (MemoryError(), 1, "--batch-size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 1, "--batch-size"),
        (BrokenPipeError(), 1, ""),
    )
    for error, code, named in cases:
        assert raising(error) == code
        err = capsys.readouterr().err
        assert named in err and len(err.splitlines()) == (named != "") and "\x1b" not in err
    monkeypatch.setenv("BPTT_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        raising(ZeroDivisionError())


def test_an_argument_given_twice_is_named(cli):
    ended = cli("train", "book.txt", "--gradient", "truncated:k1=5,k1=6")
    assert ended.code == 2 and "k1 is given twice" in ended.err
