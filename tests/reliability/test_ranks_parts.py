"""What training in several processes is made of, without any: rows, carries that come apart, torchrun's variables."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

import bptt
from bptt.errors import ContractError, InputError
from bptt.ranks import ALONE
from bptt.training import join, shares
from bptt.training.group import Group, share
from bptt.training.launch import place
from bptt.types import Carry, Window

SET = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "here", "MASTER_PORT": "1"}


def of(rank: int, size: int) -> Group:
    return Group(rank=rank, size=size, store=None, timeout=1.0, gpu="")  # type: ignore[arg-type]


@pytest.mark.parametrize(("rows", "size"), [(5, 2), (5, 5), (32, 3), (1, 1), (7, 4)])
def test_every_row_has_one_process_and_none_has_two_more_than_another(rows: int, size: int) -> None:
    parts = [list(range(rows)[share(rows, rank, size)]) for rank in range(size)]
    assert [row for part in parts for row in part] == list(range(rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1 and min(map(len, parts)) >= 1


def test_more_processes_than_rows_are_refused() -> None:
    with pytest.raises(InputError, match="6 processes, 5 rows"):
        of(0, 6).over(5)


def carry(rows: int) -> Carry:
    torch.manual_seed(4)
    window = Window.of(torch.randint(9, (rows, 3)), torch.randint(9, (rows, 3)))
    memory = {"position": 7, "open": window, "past": None, "k": 2.5, "influence": {"w": torch.randn(rows, 2, 3)}}
    return Carry((torch.randn(rows, 4), [torch.randn(rows, 4)]), {**memory, "shared": torch.randn(3), "one": torch.tensor(2.0)})


def cut(value: Any, rows: slice) -> Any:
    """The rows of the carry above, by hand."""
    m = value.memory
    inner = {"open": m["open"][rows, :], "influence": {"w": m["influence"]["w"][rows]}}
    return Carry((value.state[0][rows], [value.state[1][0][rows]]), {**m, **inner})


def same(one: Any, other: Any) -> bool:
    (a, s), (b, t) = shares.pack(one), shares.pack(other)
    return s == t and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_carry_comes_apart_by_rows_and_together_again(size: int) -> None:
    """7 rows; what is shared has 3 on its first axis, and so may parts of it have rows: only if all do is it by row."""
    given = carry(7)
    bounds = [share(7, rank, size) for rank in range(size)]
    parts = [shares.part(given, rows, 7) for rows in bounds]
    for rows, part in zip(bounds, parts, strict=True):
        assert same(part, cut(given, rows))
    if size != 4:
        assert same(shares.whole(parts, [rows.stop - rows.start for rows in bounds]), given)


def test_parts_that_do_not_fit_are_refused_by_name() -> None:
    one, other = cut(carry(7), slice(0, 3)), cut(carry(7), slice(3, 7))
    with pytest.raises(ContractError, match=r"2.5 on one, 3.5 on another"):
        shares.whole([one, Carry(other.state, {**other.memory, "k": 3.5})], [3, 4])
    with pytest.raises(ContractError, match="neither by row nor the same"):
        shares.whole([one, Carry(other.state, {**other.memory, "one": torch.ones(3)})], [3, 4])
    with pytest.raises(ContractError, match="neither by row nor the same"):  # it would be taken for one by row on the way back
        long = {"one": torch.ones(7)}
        shares.whole([Carry(part.state, {**part.memory, **long}) for part in (one, other)], [3, 4])


@pytest.mark.parametrize("length", [3, 4, 7])
def test_what_stands_under_shared_is_never_taken_for_rows(length: int) -> None:
    given = Carry(torch.randn(7, 2), {"model": {"shared": [torch.randn(length, 2)]}, "rows": torch.randn(7)})
    parts = [shares.part(given, rows, 7) for rows in (slice(0, 3), slice(3, 7))]
    assert all(torch.equal(part.memory["model"]["shared"][0], given.memory["model"]["shared"][0]) for part in parts)
    assert [len(part.memory["rows"]) for part in parts] == [3, 4]
    assert same(shares.whole(parts, [3, 4]), given)
    parts[1].memory["model"]["shared"][0] += 1
    with pytest.raises(ContractError, match="neither by row nor the same"):
        shares.whole(parts, [3, 4])


def test_draws_by_row_are_those_of_the_whole_batch() -> None:
    def make(rows: int) -> torch.Tensor:
        return bptt.UORO(seed=5).signs(11, rows, 4)

    drawn = torch.cat([of(rank, 3).over(8).draw(0, make) for rank in range(3)])
    assert torch.equal(drawn, make(8)) and torch.equal(ALONE.draw(8, make), make(8))


def test_a_copy_of_a_model_is_alone() -> None:
    unroll = bptt.Unroll(None, torch.nn.GRU(3, 5), torch.nn.Linear(5, 7))
    unroll.ranks = of(1, 2)
    assert copy.deepcopy(unroll).ranks is ALONE


def test_the_variables_of_torchrun() -> None:
    assert place({}) == place({"MASTER_ADDR": "here"}) == place({"RANK": "", "WORLD_SIZE": ""}) == (0, 1)
    assert place(SET) == (1, 2)
    assert place({"WORLD_SIZE": "1"}) == (0, 1)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        *(({name: ""}, f"but not {name}") for name in SET),
        ({"RANK": "2"}, "RANK='2'"),
        ({"RANK": "first"}, "RANK='first'"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE='0'"),
    ],
)
def test_half_of_them_are_refused(monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str], said: str) -> None:
    for name, value in {**SET, **wrong}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=said) as error:
        join()
    assert "torchrun --nproc-per-node 2" in str(error.value)


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan"), float("inf")])
def test_a_timeout_is_a_time(timeout: float) -> None:
    with pytest.raises(InputError, match="seconds above 0"):
        join(timeout)


@pytest.mark.skipif(not (torch.cuda.is_available() and torch.cuda.device_count() > 1), reason="needs two GPUs, for NCCL")
def test_nccl(tmp_path: Any) -> None:
    from processes import HERE, completed

    completed(2, [str(HERE / "trained_in_ranks.py"), str(tmp_path), "on-gpus"], tmp_path)
