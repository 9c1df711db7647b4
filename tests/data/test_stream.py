"""Streams: every target as promised, lanes without gaps, noise by position, resume at any window."""

from __future__ import annotations

import json
import warnings
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bptt.data import TextStream, whole
from bptt.data.noise import noise
from bptt.errors import CheckpointError, InputError
from bptt.types import Window

FIELDS = ("inputs", "targets", "reset", "mask", "noise")
sizes = st.tuples(st.integers(2, 300), st.integers(1, 9), st.integers(1, 12), st.integers(0, 5))
samplings = st.sampled_from(["sequential", "random", "shuffled"])


def quiet(*args: object, **settings: object) -> TextStream:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return TextStream(*args, **settings)  # type: ignore[arg-type]


def ids(count: int) -> np.ndarray:
    """Ids that tell their own position."""
    return np.arange(count, dtype=np.uint16)


def equal(a: Window, b: Window) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in FIELDS)


def counted(window: Window) -> list[int]:
    return window.targets[window.mask].tolist()


@given(sizes)
@settings(deadline=None, max_examples=150)
def test_sequential_counts_every_target_once_but_for_the_promised_few(size: tuple[int, int, int, int]) -> None:
    count, rows, steps, seed = size
    stream = quiet(ids(count), rows, steps, seed=seed)
    for _ in range(2):
        seen = [target for window in stream for target in counted(window)]
        assert len(seen) == len(set(seen)) >= 1
        offset = min(seen) - 1
        assert 0 <= offset <= steps
        assert count - 1 - len(seen) <= stream.batch_size - 1 + offset


@given(sizes, st.sampled_from(["random", "shuffled"]), st.integers(1, 4))
@settings(deadline=None, max_examples=150)
def test_blocks_count_each_target_once(size: tuple[int, int, int, int], sampling: str, times: int) -> None:
    count, rows, steps, seed = size
    block = steps * times if sampling == "shuffled" else None
    stream = quiet(ids(count), rows, steps, sampling, seed=seed, block=block)
    length = min(block or steps, count - 1)
    per_epoch = Counter(target for window in stream for target in counted(window))
    assert set(per_epoch.values()) == {1}
    if sampling == "random":  # nothing but the offset and a last partial window is left out
        assert count - 1 - len(per_epoch) <= (min(per_epoch) - 1) + length - 1
    else:
        assert len(per_epoch) == (count - 1) // length // stream.batch_size * stream.batch_size * length


@given(sizes, samplings)
@settings(deadline=None, max_examples=100)
def test_targets_are_the_next_tokens_and_rows_go_on_where_they_were(size: tuple[int, int, int, int], sampling: str) -> None:
    count, rows, steps, seed = size
    before: torch.Tensor | None = None
    for window in quiet(ids(count), rows, steps, sampling, seed=seed):
        assert torch.equal(window.targets, window.inputs + 1)
        assert torch.equal(window.inputs[:, 1:], window.targets[:, :-1])
        assert not window.reset[:, 1:].any()
        if before is None:
            assert window.reset[:, 0].all()
        else:
            assert (window.reset[:, 0] | (window.inputs[:, 0] == before)).all()
        before = window.targets[:, -1]


@given(sizes, samplings, st.integers(0, 400), st.booleans())
@settings(deadline=None, max_examples=100)
def test_resume_at_any_window_hands_out_the_rest(
    size: tuple[int, int, int, int], sampling: str, stop: int, earlier_epoch: bool
) -> None:
    count, rows, steps, seed = size
    stream, other = (quiet(ids(count), rows, steps, sampling, seed=seed) for _ in range(2))
    if earlier_epoch:
        list(stream)
    running = iter(stream)
    for _ in range(min(stop, len(stream))):
        next(running)
    state = json.loads(json.dumps(stream.state_dict()))
    rest = list(running) + list(stream)
    other.load_state_dict(state)
    again = list(other) + list(other)
    assert len(rest) <= len(again)
    assert all(equal(a, b) for a, b in zip(rest, again, strict=False))


def along_the_lanes(steps: int, **settings: object) -> list[torch.Tensor]:
    stream = TextStream(ids(211), 3, steps, offset=5, seed=7, **settings)  # type: ignore[arg-type]
    whole = Window.cat(*stream)
    return [getattr(whole, name) for name in FIELDS]


@pytest.mark.parametrize("steps", [29, 5, 3, 1, 68])
def test_a_text_cut_in_other_windows_is_the_same_text(steps: int) -> None:
    """Inputs, targets, resets, mask and noise along each lane do not depend on the window."""
    for ours, reference in zip(along_the_lanes(steps), along_the_lanes(7), strict=True):
        assert torch.equal(ours, reference)


def test_noise_of_shuffled_blocks_does_not_depend_on_the_window() -> None:
    cuts = [Window.cat(*TextStream(ids(211), 3, steps, "shuffled", block=20)) for steps in (20, 7, 1)]
    assert equal(cuts[0], cuts[1]) and equal(cuts[0], cuts[2])


def test_noise_differs_by_position_epoch_and_seed_and_is_fixed_for_ever() -> None:
    at = np.arange(1000)
    drawn = np.concatenate([noise(seed, epoch, at) for seed in range(3) for epoch in range(3)])
    assert len(set(drawn.tolist())) == 9000
    assert noise(1, 2, np.array([[3]])).tolist() == [[2869315087210772132]]
    assert abs((drawn > 0).mean() - 0.5) < 0.03


def test_epochs_differ_and_repeat_from_the_seed() -> None:
    one, two = (TextStream(ids(200), 4, 7, "random", seed=3) for _ in range(2))
    first, second = list(one), list(one)
    assert not equal(first[0], second[0])
    assert all(equal(a, b) for a, b in zip(first + second, list(two) + list(two), strict=True))
    assert one.epoch == 1


def test_random_sampling_resets_every_window_and_pads_the_last_batch_with_masked_rows() -> None:
    windows = list(TextStream(ids(100), 4, 7, "random"))
    assert all(window.inputs.shape == (4, 7) and window.reset[:, 0].all() for window in windows)
    assert [window.count for window in windows] == [28, 28, 28, 14]


def test_drop_last() -> None:
    assert [w.count for w in TextStream(ids(100), 4, 7, "random", drop_last=True)] == [28, 28, 28]
    assert [w.count for w in TextStream(ids(101), 4, 7, "shuffled", drop_last=False)] == [28, 28, 28, 14]
    assert [w.steps for w in TextStream(ids(100), 4, 7, offset=False, drop_last=True)] == [7, 7, 7]


def test_shuffled_blocks_hold_several_windows_and_reset_at_their_start() -> None:
    windows = list(TextStream(ids(100), 2, 4, "shuffled", block=10))
    assert [w.steps for w in windows] == [4, 4, 2] * 4
    assert [bool(w.reset[0, 0]) for w in windows] == [True, False, False] * 4


@pytest.mark.parametrize("sampling", ["sequential", "random", "shuffled"])
@pytest.mark.parametrize("count", [2, 3, 7, 8, 9, 14, 15, 28, 29])
def test_a_short_text_shrinks_the_batch_and_says_so(sampling: str, count: int) -> None:
    rows, steps = 4, 7
    short = count - 1 < rows * steps
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stream = TextStream(ids(count), rows, steps, sampling)
    assert bool(stream.notes) == bool(caught) == short
    assert stream.batch_size == max(1, min(rows, (count - 1) // steps))
    for _ in range(4):
        windows = list(stream)
        assert windows and all(window.batch_size == stream.batch_size for window in windows)
        assert windows[0].steps == min(steps, count - 1)


def test_whole_reads_every_target_once_in_order() -> None:
    windows = list(whole(ids(50), steps=8))
    assert torch.cat([w.targets for w in windows], 1).tolist() == [list(range(1, 50))]
    assert sum(w.count for w in windows) == 49 and windows[0].reset[0, 0]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"sampling": "shufled"}, "shuffled"),
        ({"batch_size": 0}, "batch_size"),
        ({"steps": 0}, "steps"),
        ({"steps": True}, "steps"),
        ({"seed": -1}, "seed"),
        ({"offset": -1}, "offset"),
        ({"offset": 0.5}, "offset"),
        ({"offset": 90}, "offset"),
        ({"block": 9}, "block"),
        ({"block": 2, "sampling": "shuffled"}, "block"),
        ({"ids": ids(1)}, "two tokens"),
    ],
)
def test_bad_settings_are_named(change: dict[str, object], word: str) -> None:
    with pytest.raises(InputError, match=word):
        TextStream(**{"ids": ids(100), "batch_size": 4, "steps": 5, **change})  # type: ignore[arg-type]


def test_a_foreign_or_damaged_state_is_refused() -> None:
    stream = TextStream(ids(100), 4, 5)
    good = stream.state_dict()
    longer = TextStream(ids(101), 4, 5).state_dict()
    given = TextStream(ids(100), 4, 5, offset=1).state_dict()  # 1 == True, but an offset of 1 is not a drawn one
    for bad in (
        None,
        {},
        longer,
        given,
        {**good, "epoch": -1},
        {**good, "handed": 99},
        {**good, "handed": "1"},
        {**good, "settings": 3},
    ):
        with pytest.raises(CheckpointError):
            stream.load_state_dict(bad)  # type: ignore[arg-type]
    assert len(list(stream)) == len(stream)


def test_global_random_state_is_left_alone() -> None:
    before, torch_before = np.random.get_state()[1].tolist(), torch.get_rng_state()  # type: ignore[index,union-attr]
    list(TextStream(ids(100), 4, 5, "random"))
    assert np.random.get_state()[1].tolist() == before and torch.equal(torch.get_rng_state(), torch_before)  # type: ignore[index,union-attr]
