"""Several processes against one with the same batch: the same losses, gradient norms and parameters, also over a resume."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from processes import HERE, completed, ended, ranks
from safetensors.torch import load_file
from trained_in_ranks import CASES, cut, train

from bptt.training import checkpoint
from bptt.training.pack import pack

PROGRAM = str(HERE / "trained_in_ranks.py")
SHORT = [case for case in CASES if "save_every" not in CASES[case][0] and case not in ("on-gpus", "crooked")]
LONG = [case for case in CASES if "save_every" in CASES[case][0]]
QUICK = ["long-overlapping", "dropping"]  # saved and resumed in the quick tests; the others in the slow ones


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left: of 5 rows one has more. Before, one process began a run that they go on with."""
    folder = tmp_path_factory.mktemp("two")
    cut("long-overlapping", folder / "long-overlapping-cut-by-one")
    words = [*SHORT, *(f"{case}+{how}" for case in QUICK for how in ("whole", "cut", "resume"))]
    completed(2, [PROGRAM, str(folder), *words, "long-overlapping+cut-by-two", "long-overlapping+resume-by-one"], folder)
    return folder


def check_equal(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], tolerance: float) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(
            found[name], value, rtol=tolerance, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("case", SHORT)
def test_two_processes_take_the_updates_of_one(two: Path, case: str) -> None:
    run, alone = train(case)
    assert run.step >= 5 and len(alone["updates"]) == run.step
    tolerance = 1e-5 if case == "single" else 1e-12
    check_equal(load_file(two / f"{case}-0.safetensors"), alone, tolerance)
    # The second process hears nothing, and has the same parameters bit for bit.
    first, second = (load_file(two / f"{case}-{rank}.safetensors") for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in second if name != "updates")
    assert not len(second["updates"])


def fingerprint(run: Path) -> str:
    """SHA-256 over everything in the newest checkpoint but times."""
    saved = checkpoint.load(run / "checkpoints")
    state = {key: value for key, value in saved.state.items() if key not in ("course", "journals")}
    tensors, skeleton = pack([saved.step, sorted(saved.parameters.items()), state])
    found = hashlib.sha256(json.dumps(skeleton).encode())
    for tensor in tensors.values():
        found.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return found.hexdigest()


def check_resumed(folder: Path, case: str, size: int) -> None:
    for rank in range(size):
        whole, resumed = (load_file(folder / f"{case}+{how}-{rank}.safetensors") for how in ("whole", "resume"))
        updates = whole.pop("updates"), resumed.pop("updates")
        assert all(torch.equal(whole[name], resumed[name]) for name in whole)
        assert rank or torch.equal(updates[0][-len(updates[1]) :], updates[1])
        assert rank or 0 < len(updates[1]) < len(updates[0])
    assert fingerprint(folder / f"{case}-whole") == fingerprint(folder / f"{case}-cut")
    saved = checkpoint.load(folder / f"{case}-cut" / "checkpoints")
    assert len(saved.state["others"]) == size - 1


@pytest.mark.parametrize("case", QUICK)
def test_as_many_processes_go_on_bit_for_bit(two: Path, case: str) -> None:
    """With torch's own dropout each process goes on with its own masks."""
    check_resumed(two, case, 2)
    saved = checkpoint.load(two / f"{case}-cut" / "checkpoints")
    mine, theirs = saved.state["random"]["torch"], saved.state["others"][0]["torch"]
    assert not torch.equal(mine, theirs)


def notices(run: Path) -> list[str]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line["text"] for line in lines if line["event"] == "notice"]


def test_two_go_on_where_one_stopped_and_one_where_two_did(two: Path) -> None:
    _, alone = train("long-overlapping")
    by_two = load_file(two / "long-overlapping+resume-by-one-0.safetensors")
    _, by_one = train("long-overlapping", out=two / "long-overlapping-cut-by-two", resume=True)
    for found, before, now in ((by_two, "one", "2 processes, after 1"), (by_one, "two", "1 process, after 2")):
        count = len(found["updates"])
        assert 0 < count < len(alone["updates"])
        check_equal(found, {**alone, "updates": alone["updates"][-count:]}, 1e-12)
        (said,) = notices(two / f"long-overlapping-cut-by-{before}")
        assert now in said and "up to rounding" in said


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3, 4])
def test_every_strategy_goes_on(tmp_path: Path, size: int) -> None:
    words = [f"{case}+{how}" for case in LONG for how in ("whole", "cut", "resume")]
    completed(size, [PROGRAM, str(tmp_path), *words], tmp_path)
    for case in LONG:
        check_resumed(tmp_path, case, size)


@pytest.mark.slow
def test_a_strategy_that_cuts_elsewhere_on_another_process_is_refused(tmp_path: Path) -> None:
    with ranks(2, [PROGRAM, str(tmp_path), "crooked"], tmp_path) as started:
        ends = ended(started)
    assert [end[0] for end in ends] == [1, 1]
    assert all("cuts at different steps on different processes" in err for _, _, err in ends)


@pytest.mark.slow
@pytest.mark.parametrize("size", [3, 4, 5])
def test_more_processes_take_the_updates_of_one(tmp_path: Path, size: int) -> None:
    completed(size, [PROGRAM, str(tmp_path), *SHORT], tmp_path)
    for case in SHORT:
        found = load_file(tmp_path / f"{case}-0.safetensors")
        check_equal(found, train(case)[1], 1e-5 if case == "single" else 1e-12)
