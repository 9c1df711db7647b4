"""SIGKILL and signals to real processes: whatever ends a run, going on gives the run that nothing happened to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent

CHOSEN = [
    *("event:start:1", "event:step:2", "event:step:9", "event:step:3", "event:validation:1", "event:epoch:1"),
    *("event:valid:1", "event:sample:1", "rename:1", "rename:2", "replace:1", "replace:4", "fsync:5", "fsync:30"),
]


def killed(folder: Path, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    command = [sys.executable, str(HERE / "killed_runs.py"), str(folder), *map(json.dumps, cases)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(folder: Path, cases: list[dict[str, Any]], least: int) -> int:
    """All equal; and at least so many processes really died of SIGKILL, none of anything else. How many did."""
    found = killed(folder, cases)
    assert [result["equal"] for result in found] == [True] * len(cases)
    ends = [end for result in found for end in result["ends"]]
    assert set(ends) <= {0, signal.SIGKILL}
    assert ends.count(signal.SIGKILL) >= least
    return ends.count(signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_runs_equal_whole_ones(tmp_path: Path) -> None:
    """Three cells, three samplings; at moments drawn from a seed and at chosen ones: at least 20 deaths."""
    cases = [
        {"seed": 1, "cell": "gru", "sampling": "sequential", "deaths": [*CHOSEN[:4], *["at random"] * 3]},
        {"seed": 2, "cell": "lstm", "sampling": "random", "deaths": [*CHOSEN[4:8], *["at random"] * 3]},
        {"seed": 3, "cell": "rnn", "sampling": "shuffled", "deaths": [*CHOSEN[8:], *["at random"] * 3]},
    ]
    check(tmp_path, cases, 20)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_three_hundred_killed_runs_equal_whole_ones(tmp_path: Path) -> None:
    cases = [
        {"seed": seed, "cell": cell, "sampling": sampling, "deaths": CHOSEN[seed::3] + ["at random"] * 6}
        for seed in range(6)
        for cell in ("rnn", "lstm", "gru")
        for sampling in ("sequential", "random", "shuffled")
    ]
    check(tmp_path, cases, 300)


TRAIN = """
import sys, warnings
warnings.simplefilter("ignore")
import torch
torch.set_num_threads(1)
import bptt
from small_run import make_corpus, train
place = sys.argv[2]
def listen(event):
    if event["step"] >= 3 and (place == "training" or "validated" in event):
        print("now", flush=True)
try:
    train(sys.argv[1], corpus=make_corpus(400, 500), epochs=100_000, listeners=[listen], sample_every=0)
except bptt.Interrupted as error:
    print("said", error, flush=True)
    sys.exit(error.exit_code)
"""


def start(out: Path, place: str, program: str = TRAIN) -> subprocess.Popen[str]:
    """A run in a process of its own, once it is where `place` says."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(out), place],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "now\n"
    return process


@pytest.mark.parametrize(
    ("number", "place"), [(signal.SIGINT, "validation"), pytest.param(signal.SIGTERM, "training", marks=pytest.mark.slow)]
)
def test_a_signal_saves_and_ends(number: int, place: str, tmp_path: Path) -> None:
    from bptt.training import checkpoint

    process = start(tmp_path / "run", place)
    process.send_signal(number)
    asked = time.monotonic()
    out, _ = process.communicate(timeout=10)
    assert time.monotonic() - asked < 10
    assert process.returncode == 128 + number
    step = checkpoint.load(tmp_path / "run" / "checkpoints").step
    assert f"said saved at update {step} in" in out
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert (last["event"], last["reason"], last["step"]) == ("end", "interrupted", step)


STUCK = TRAIN.replace(
    'print("now", flush=True)', 'import time; print("now", flush=True); [time.sleep(0.1) for _ in range(300)]'
)


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    """Also where the first can do nothing, since the run is stuck."""
    from bptt.training import checkpoint

    process = start(tmp_path / "run", "training", STUCK)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    process.communicate(timeout=10)
    assert time.monotonic() - asked < 1
    assert process.returncode == 128 + signal.SIGINT
    assert checkpoint.load(tmp_path / "run" / "checkpoints").step == 0


HOLD = """
import sys
from pathlib import Path
from bptt.training.lock import Lock
with Lock(Path(sys.argv[1])):
    print("now", flush=True)
    sys.stdin.read()
"""


def test_two_processes_never_share_a_run_and_a_dead_one_lets_go(tmp_path: Path) -> None:
    from small_run import train

    import bptt

    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == "now\n"
    asked = time.monotonic()
    with pytest.raises(bptt.RunInUseError, match=f"held by process {holder.pid}") as caught:
        train(tmp_path)
    assert time.monotonic() - asked < 1
    assert caught.value.exit_code == 3
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    holder.kill()
    holder.communicate()
    assert train(tmp_path, epochs=1).reason == "finished"


RACE = """
import os, sys
from pathlib import Path
from bptt.errors import RunInUseError
from bptt.training.lock import Lock
import time
for number in range(100):
    folder = Path(sys.argv[1]) / str(number)
    folder.mkdir()
    ready, go = os.pipe()
    children = []
    for child in range(4):
        if not (pid := os.fork()):
            os.close(go)
            os.read(ready, 1)
            try:
                with Lock(folder):
                    time.sleep(0.1)
                    os._exit(10)
            except RunInUseError as error:
                os._exit(error.exit_code)
        children.append(pid)
    os.close(go)
    ends = sorted(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children)
    assert ends == [3, 3, 3, 10], (number, ends)
    os.close(ready)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_of_four_that_race_one_wins(tmp_path: Path) -> None:
    """100 races."""
    subprocess.run([sys.executable, "-c", RACE, str(tmp_path)], check=True, timeout=100)
