"""Synthetic tasks: floors against enumeration, draws against their law, targets by a slow reader, streams cut anyhow."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch

import bptt
from bptt.data import Vocabulary
from bptt.data.tasks import TASKS, Adding, AnBn, Brackets, Coin, Copy, format_task, is_task, parse_task, read_task
from bptt.errors import CheckpointError, InputError

SMALL = [
    Coin(lags=(2, 5), size=600),
    Copy(length=3, lag=4, kinds=3, size=600),
    AnBn(longest=4, size=600),
    Brackets(pairs=3, kinds=2, size=600),
    Adding(length=6, size=600),
]
EACH = pytest.mark.parametrize("task", SMALL, ids=lambda task: task.name)


def drawn(task, count, seed=0):
    return task.draw(np.random.default_rng(seed), count)


def entropy(shares):
    return -sum(share * math.log(share) for share in shares if share > 0)


# Floors


@pytest.mark.parametrize("lags", [(3, 8), (8, 3), (1, 2)])
def test_levels_of_the_coin_are_those_of_all_outcomes(lags):
    """The joint law of (x_a, x_b, y), enumerated, and the conditional entropy of y given what is known."""
    joint = {}
    for a, b, y in itertools.product((0, 1), repeat=3):
        one = 0.5 + 0.5 * a - 0.25 * b
        joint[a, b, y] = (one if y else 1 - one) / 4

    def left(known):
        groups = {}
        for (a, b, y), share in joint.items():
            groups.setdefault(known(a, b), Counter())[y] += share
        return sum(sum(g.values()) * entropy([v / sum(g.values()) for v in g.values()]) for g in groups.values())

    wanted = [left(lambda a, b: ()), left(lambda a, b: b), left(lambda a, b: a), left(lambda a, b: (a, b))]
    levels = Coin(lags=lags).levels()
    assert np.allclose(list(levels.values()), wanted, rtol=0, atol=1e-12)
    assert list(levels) == [
        "nothing known",
        f"lag {lags[1]} alone",
        f"lag {lags[0]} alone",
        f"lags {min(lags)} and {max(lags)}",
    ]
    assert sorted(wanted, reverse=True) == wanted and 0.4 < wanted[-1] < 0.46


def words_of(task):
    """Every word of a task of words and its probability, by going through all strings."""
    letters = range(1, len(task.tokens))
    if task.name == "anbn":
        found = [w for n in range(1, 2 * task.longest + 1) for w in itertools.product(letters, repeat=n) if is_anbn(w)]
    else:
        found = [w for w in itertools.product(letters, repeat=2 * task.pairs) if is_nested(w, task.kinds)]
    return {word: 1 / len(found) for word in found}


def is_anbn(word):
    half = len(word) // 2
    return len(word) % 2 == 0 and word == (1,) * half + (2,) * half


def is_nested(word, kinds):
    stack = []
    for token in word:
        if token <= kinds:
            stack.append(token)
        elif not stack or stack.pop() != token - kinds:
            return False
    return not stack


def next_token_loss(words, seen):
    """Mean loss per step of the best reader that knows `seen(prefix)` of a prefix, START and END included."""
    steps = sum(p * (len(w) + 1) for w, p in words.items())
    groups = {}
    for word, share in words.items():
        for place, token in enumerate((*word, 0)):
            groups.setdefault(seen(word[:place]), Counter())[token] += share
    return sum(sum(g.values()) * entropy([v / sum(g.values()) for v in g.values()]) for g in groups.values()) / steps


@pytest.mark.parametrize("task", [AnBn(longest=3), AnBn(longest=5), AnBn(longest=1)], ids=format_task)
def test_levels_of_anbn_are_those_of_all_words(task):
    words = words_of(task)
    assert len(words) == task.longest
    levels = list(task.levels().values())
    assert levels == pytest.approx([next_token_loss(words, lambda p: ()), next_token_loss(words, lambda p: p)], abs=1e-12)


@pytest.mark.parametrize(
    "task", [Brackets(pairs=3, kinds=2), Brackets(pairs=4, kinds=1), Brackets(pairs=2, kinds=3)], ids=format_task
)
def test_levels_of_brackets_are_those_of_all_words(task):
    words, kinds = words_of(task), task.kinds
    assert len(words) == math.comb(2 * task.pairs, task.pairs) // (task.pairs + 1) * kinds**task.pairs

    def counted(prefix):
        return len(prefix), sum(1 if token <= kinds else -1 for token in prefix)

    wanted = [next_token_loss(words, seen) for seen in (lambda p: (), counted, lambda p: p)]
    assert list(task.levels().values()) == pytest.approx(wanted, abs=1e-12)


def test_levels_of_copy_and_adding():
    assert list(Copy(kinds=3).levels().values()) == [math.log(3), 0.0]
    grid = (np.arange(1000) + 0.5) / 1000  # the variance of a sum of two even draws, by a fine grid
    sums = grid[:, None] + grid[None]
    assert list(Adding().levels().values()) == pytest.approx(
        [((sums - 1) ** 2).mean(), ((sums - sums.mean(1, keepdims=True)) ** 2).mean(), 0], abs=1e-6
    )


# Draws


def test_coins_fall_as_they_should():
    task = Coin(lags=(2, 5))
    steps = drawn(task, 60_000)
    x, y = steps.inputs, steps.targets
    assert abs(x.mean() - 0.5) < 0.01
    for a, b in itertools.product((0, 1), repeat=2):
        at = np.flatnonzero((x[3:-2] == a) & (x[:-5] == b)) + 5  # step t: x[t − 2] = a, x[t − 5] = b
        assert abs(y[at].mean() - (0.5 + 0.5 * a - 0.25 * b)) < 0.02
    assert steps.since[7] == 2 and not steps.reset.any()


def test_words_of_brackets_are_equally_likely():
    task = Brackets(pairs=3, kinds=1)
    text = "".join(task.tokens[i] for i in drawn(task, 35_000).inputs)
    counts = Counter(text.split("\n")[1:-1])
    assert len(counts) == 5 and all(abs(count / 5000 - 0.2) < 0.03 for count in counts.values())


def test_lengths_of_anbn_are_equally_likely():
    words = drawn(AnBn(longest=4), 40_000)
    text = "".join("\nab"[i] for i in words.inputs).split("\n")[1:-1]
    counts = Counter(text)
    assert set(counts) == {"a" * n + "b" * n for n in range(1, 5)}
    assert all(abs(count / len(text) - 0.25) < 0.02 for count in counts.values())


def test_targets_of_copy_are_what_was_read_before():
    task = Copy(length=3, lag=4, kinds=3)
    steps, gap = drawn(task, 480), task.length + task.lag + 1
    counted = np.flatnonzero(steps.counts)
    assert len(counted) == 3 * 40  # 12 steps a word, its START included
    for at in counted:  # the target of step t is what was read gap − 1 steps ago
        assert steps.targets[at] == steps.inputs[at + 1 - gap] and steps.targets[at] >= 3
    assert Counter(steps.targets[counted].tolist()).keys() == {3, 4, 5}


def test_targets_of_adding_are_sums_by_a_slow_reader():
    steps = drawn(Adding(length=7), 705)
    total, marks = 0.0, 0
    for at, ((value, mark), (said, seen)) in enumerate(zip(steps.inputs, steps.targets[:, 0], strict=True)):
        if steps.reset[at]:
            total, marks = 0.0, 0
        total, marks = total + value * mark, marks + mark
        assert steps.counts[at] == seen == (at % 7 == 6)
        if seen:
            assert marks == 2 and said == pytest.approx(total, abs=1e-6)
    sums = drawn(Adding(length=7), 70_000).targets[6::7, 0, 0]
    assert abs(sums.mean() - 1) < 0.02 and abs(sums.var() - 1 / 6) < 0.01


@pytest.mark.parametrize("task", SMALL[1:4], ids=lambda task: task.name)
def test_a_target_is_the_next_input_and_a_reset_stands_at_every_start(task):
    steps = drawn(task, 300)
    assert (steps.targets[:-1] == steps.inputs[1:]).all()
    assert (steps.reset == (steps.inputs == 0)).all() and steps.reset[0]
    begin = 0
    for at in range(300):
        begin = at if steps.reset[at] else begin
        assert steps.since[at] == begin


# Parts and streams


@EACH
def test_streams_cut_anyhow_hand_out_the_same_steps(task):
    data = read_task(task)
    lanes = {}
    for steps in (29, 5, 1):
        stream = data.train.stream(3, steps, offset=False)
        for _ in range(2):  # epochs
            windows = list(stream)
            for name in ("inputs", "targets", "reset", "mask"):
                lanes.setdefault((stream.epoch, name), []).append(torch.cat([getattr(w, name) for w in windows], 1))
    for same in lanes.values():
        assert all(torch.equal(same[0], other) for other in same[1:])
    assert not torch.equal(lanes[0, "inputs"][0], lanes[1, "inputs"][0])  # fresh
    assert lanes[0, "reset"][0][:, 0].all() and 0 < lanes[0, "mask"][0].sum() < lanes[0, "mask"][0].numel()


@EACH
def test_a_stream_goes_on_bit_for_bit(task):
    stream, other = (read_task(task).train.stream(3, 7, seed=5) for _ in range(2))
    list(stream)
    begun = iter(stream)
    next(begun)
    other.load_state_dict(stream.state_dict())
    for here, there in zip(begun, other, strict=True):
        assert all(torch.equal(getattr(here, n), getattr(there, n)) for n in ("inputs", "targets", "reset", "mask", "noise"))
    changed = parse_task(format_task(task) + ",seed=9")
    with pytest.raises(CheckpointError):
        read_task(changed).train.stream(3, 7, seed=5).load_state_dict(stream.state_dict())


def test_what_a_lane_has_not_read_does_not_count():
    coin = next(iter(read_task("coin:lags=2,5,size=200").train.stream(2, 20, offset=False)))
    assert not coin.mask[:, :5].any() and coin.mask[:, 5:].all()
    words = read_task("anbn:longest=3,size=400").train.stream(4, 30, offset=False)
    window = next(iter(words))
    for row in range(4):
        first = int(window.inputs[row].eq(0).nonzero()[0])
        assert not window.mask[row, :first].any() and window.mask[row, first:].all()


def test_parts_are_drawn_by_themselves_and_an_epoch_may_be_the_same():
    data = read_task("coin:size=2000,fresh=false", valid=0.5)
    assert len(data.valid) == 1000 and (data.valid.ids != data.train.ids).any()
    stream = data.train.stream(2, 50, offset=False)
    first, second = list(stream), list(stream)
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(first, second, strict=True))
    held = data.valid.whole(100)
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(list(held), list(held), strict=True))
    assert not np.array_equal(read_task("coin:size=2000,seed=1").train.ids, read_task("coin:size=2000,seed=2").train.ids)


@EACH
def test_a_perfect_reader_reaches_the_floor_and_no_less(task):
    """Probabilities from the law of each task, read off the windows; the mean loss is the floor within noise."""
    if task.name == "adding":
        pytest.skip("its floor is 0: see the slow reader")
    size = 30_000
    data = read_task(format_task(task).replace("size=600", f"size={size}"), valid=0.0)
    window = next(iter(data.train.whole(size)))
    x, y, counts = (getattr(window, name)[0].numpy() for name in ("inputs", "targets", "mask"))
    assert data.train.whole().counted == counts.sum()
    words = {} if task.name in ("coin", "copy") else words_of(task)
    losses, begin = [], 0
    for at in np.flatnonzero(counts | True):
        begin = at if x[at] == 0 else begin
        if not counts[at]:
            continue
        if task.name == "coin":
            one = 0.5 + 0.5 * x[at - 2] - 0.25 * x[at - 5]
            losses.append(-math.log(one if y[at] else 1 - one))
        elif task.name == "copy":
            losses.append(0.0 if y[at] == x[at - task.length - task.lag] else math.inf)
        else:
            prefix = tuple(x[begin + 1 : at + 1])
            going = [w for w in words if w[: len(prefix)] == prefix]
            right = [w for w in going if (*w, 0)[len(prefix)] == y[at]]
            losses.append(-math.log(len(right) / len(going)))
    assert np.mean(losses) == pytest.approx(data.facts["floor"], abs=0.012)


# Names


def test_names():
    assert parse_task("coin:lags=2,5,seed=7") == Coin(lags=(2, 5), seed=7)
    assert parse_task("copy: length=3 , fresh=false") == Copy(length=3, fresh=False)
    for task in SMALL:
        assert parse_task(format_task(task)) == task
    assert is_task("coin") and is_task("anbn:longest=3") and not is_task("book") and set(TASKS) == {t.name for t in SMALL}


def test_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "coin").write_text("a book")
    assert not is_task("coin")


@pytest.mark.parametrize(
    ("written", "word"),
    [
        ("con", "task"),
        ("coin:lag=3", "lags"),
        ("coin:3", "name=value"),
        ("coin:lags=3", "two lags"),
        ("coin:lags=3,3", "two lags"),
        ("coin:lags=3,x", "whole"),
        ("coin:lags=3,8,lags=2,4", "twice"),
        ("coin:size=1", "size"),
        ("coin:seed=-1", "seed"),
        ("coin:fresh=2", "fresh"),
        ("copy:kinds=27", "kinds"),
        ("copy:length=0", "length"),
        ("brackets:kinds=5", "kinds"),
        ("anbn:longest=none", "longest"),
        ("adding:length=1", "length"),
    ],
)
def test_wrong_names_say_what_to_do(written, word):
    with pytest.raises(InputError) as refused:
        read_task(written)
    assert word in str(refused.value)


def test_another_vocabulary_is_refused():
    assert read_task("coin", vocab=Vocabulary(("0", "1"), reserved=())).vocab == read_task("coin").vocab
    with pytest.raises(InputError, match="other tokens"):
        read_task("coin", vocab=Vocabulary(("0", "1", "2"), reserved=()))


def test_a_model_of_a_part_is_judged_on_what_counts():
    data = read_task("copy:length=2,lag=3,kinds=2,size=300")
    model = bptt.LanguageModel("gru", vocab=data.vocab, hidden_size=4)
    score = model.evaluate(data.valid)
    window = next(iter(data.valid.whole(1000)))
    losses, _ = model.unroll().losses(window, model.initial_state(1))
    assert score.tokens == int(window.mask.sum()) and score.nats == pytest.approx(
        float(losses[window.mask].detach().sum()), rel=1e-6
    )
    assert math.isclose(score.mean, math.log(5), abs_tol=1.0)
