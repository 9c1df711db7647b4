"""`check_strategy`: does a gradient strategy keep its contract?

Knows the contract of `bptt.types.Strategy`; must not know any strategy, so that anybody's can be checked.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterable

import torch
from torch import Tensor

from bptt.models.unroll import Unroll
from bptt.testing.examples import Problem, distance, exact, gradients, norm, problem
from bptt.testing.expect import expect
from bptt.training.clip import clip_gradients
from bptt.training.pack import like, pack, unpack
from bptt.types import Carry, Estimate, Strategy, Window

CELLS = ("rnn", "lstm", "gru-deep-dropout", "nested")


def check_strategy(strategy: Strategy, *, recurrent: Iterable[str] = CELLS) -> None:
    """Check the contract of a strategy on small problems; ContractError says where it is broken.

    Arguments: strategy; recurrent, names of `bptt.testing.examples.RECURRENT` to check it on.

    Checked, on windows with resets, masked losses, dropout and a state that is not zero, in float64:

    * it is a frozen value with facts about itself, and `nominal` is a positive number of steps;
    * every call yields at least once, `steps` grows to the window's length, every loss is counted once, a window of zero steps
      closes what is open;
    * gradients are added into `.grad`, parameters are left alone, and an update between two yields is no error;
    * the carry is a value: detached, savable; from any yielded carry, saved and loaded, the run continues bit for bit;
    * unless `per_window`, the borders of windows leave no trace: windows of 29, 5, 3, 1 steps give parameters equal bit for
      bit under SGD with momentum and clipping;
    * an `exact` strategy gives the exact gradient of a window, to 1e-12;
    * without updates, the losses add up to those of one pass over the window: the whole state is carried, from step to step;
    * parameters behind the recurrence (the readout's) get their exact gradient, unless the strategy weighs credits at random:
      losses are sums divided by `per`, and by nothing else;
    * the gradient is alive (norm ≥ 1e-8).

    >>> import bptt
    >>> check_strategy(bptt.Truncated(7), recurrent=["rnn"])
    """
    check_facts(strategy)
    for name in recurrent:
        setting = problem(name)
        check_yields(strategy, setting)
        check_restart(strategy, setting)
        if not strategy.per_window:
            check_borders(strategy, setting)
        if strategy.exact:
            check_exact(strategy, setting)


def check_facts(strategy: Strategy) -> None:
    """A frozen value that says what it is."""
    name = type(strategy).__name__
    frozen = dataclasses.is_dataclass(strategy) and type(strategy).__dataclass_params__.frozen
    _expect(frozen, f"{name} is not a frozen dataclass", "it could change during a run")
    for fact in ("exact", "unbiased", "random", "online", "omits", "cost", "memory", "reference", "per_window"):
        _expect(hasattr(strategy, fact), f"{name} does not say whether or what it is", fact)
    if strategy.random:
        _expect(hasattr(strategy, "seed"), f"{name} draws weights and has no field seed", "nobody could draw again")
    steps = strategy.nominal(29)
    _expect(isinstance(steps, int) and steps > 0, "nominal(29) is no positive number of steps", repr(steps))


class Walk:
    """A strategy at work under SGD with momentum and clipping, on its own copy of a problem."""

    def __init__(self, strategy: Strategy, setting: Problem) -> None:
        self.strategy = strategy
        self.unroll = copy.deepcopy(setting.unroll)
        self.optimizer = torch.optim.SGD(self.unroll.parameters(), lr=0.5, momentum=0.9)
        self.carry = strategy.start(self.unroll, setting.window.batch_size)._replace(state=setting.state)
        self.largest = 0.0

    def take(self, window: Window) -> Iterable[Estimate]:
        """The estimates over `window`, each spent before the next is asked for."""
        for estimate in self.strategy.gradients(self.unroll, window, self.carry):
            self.carry = estimate.carry
            if estimate.ready:
                self.largest = max(self.largest, clip_gradients(self.unroll.parameters(), 0.3)[0])
                self.optimizer.step()
                self.optimizer.zero_grad()
            yield estimate

    def over(self, window: Window, cut: int) -> Walk:
        """All of `window` in windows of `cut` steps, closed at the end."""
        for start in range(0, window.steps, cut):
            list(self.take(window[:, start : start + cut]))
        list(self.take(window[:, :0]))
        return self

    def parameters(self) -> Tensor:
        """All parameters as one vector."""
        return torch.cat([parameter.detach().flatten() for parameter in self.unroll.parameters()])

    def copy_after(self, saved: Carry) -> Walk:
        """A copy that goes on from `saved`."""
        twin = copy.copy(self)
        twin.unroll = copy.deepcopy(self.unroll)
        twin.optimizer = torch.optim.SGD(twin.unroll.parameters(), lr=0.5, momentum=0.9)
        twin.optimizer.load_state_dict(copy.deepcopy(self.optimizer.state_dict()))
        twin.carry = saved
        return twin


def check_yields(strategy: Strategy, setting: Problem) -> None:
    """What is yielded, and what is left alone."""
    unroll, window = copy.deepcopy(setting.unroll), setting.window
    before = [parameter.detach().clone() for parameter in unroll.parameters()]
    carry = strategy.start(unroll, window.batch_size)._replace(state=setting.state)
    counted, largest, total = 0, 0.0, 0.0
    for part in (window, window[:, :0]):
        taken = 0
        found = list(strategy.gradients(unroll, part, carry))
        _expect(bool(found), "A call of gradients yields nothing", f"a window of {part.steps} steps")
        for estimate in found:
            _expect(taken <= estimate.steps <= part.steps, "steps does not grow", f"{estimate.steps} after {taken}")
            _expect(not estimate.loss_sum.requires_grad, "loss_sum is attached to a graph", "it must be detached")
            taken, carry, counted = estimate.steps, estimate.carry, counted + estimate.count
            total += float(estimate.loss_sum)
        _expect(taken == part.steps, "The last estimate does not consume the window", f"{taken} of {part.steps} steps")
        largest = max(largest, norm(gradients(unroll)))
    _expect(counted == window.count, "Not every loss is counted once", f"{counted} of {window.count}")
    same = all(torch.equal(a, b) for a, b in zip(before, unroll.parameters(), strict=True))
    _expect(same, "The strategy changes parameters", "it may only add into .grad")
    _expect(largest >= 1e-8, "The gradient is dead", f"norm {largest}")
    wanted = float(unroll.segment(window, setting.state)[0].detach())
    off = abs(total - wanted) / abs(wanted)
    _expect(off <= 1e-12, "The losses do not add up to those of one pass", f"{total:.15g}, one pass gives {wanted:.15g}")
    if not strategy.random:
        check_readout(unroll, setting)


def check_readout(unroll: Unroll, setting: Problem) -> None:
    """Parameters that the state does not depend on get their exact gradient: each loss with weight 1 ÷ per."""
    found, wanted = (
        {name: block for name, block in blocks.items() if name.startswith("readout.")}
        for blocks in (gradients(unroll), exact(setting))
    )
    off = distance(found, wanted)
    _expect(off <= 1e-12, "The readout's gradient is not the sum of its losses ÷ per", f"relative difference {off:.3g}")


def check_restart(strategy: Strategy, setting: Problem) -> None:
    """From every yielded carry, saved and loaded, the run continues bit for bit."""
    first, second = setting.window[:, :17], setting.window[:, 17:]
    wanted = _finish(Walk(strategy, setting), first, second)
    walk = Walk(strategy, setting)
    for number, window in enumerate((first, second)):
        for estimate in walk.take(window):
            twin = walk.copy_after(saved_and_loaded(estimate.carry))
            rest = [window[:, estimate.steps :]] if estimate.steps < window.steps else []
            after = _finish(twin, *rest, *((second,) if number == 0 else ()))
            where = f"after {estimate.steps} steps of window {number}"
            _expect(torch.equal(after, wanted), "A run does not continue from a saved carry as it would have", where)


def _finish(walk: Walk, *windows: Window) -> Tensor:
    for window in (*windows, *(window[:, :0] for window in windows[-1:])):
        list(walk.take(window))
    if not windows:
        list(walk.take(problem("rnn").window[:, :0]))
    return walk.parameters()


def saved_and_loaded(carry: Carry) -> Carry:
    """The carry after a trip through safetensors and JSON; ContractError if it is no value."""
    from safetensors.torch import load, save

    tensors, skeleton = pack(carry)
    kept = [tensor for tensor in tensors.values() if tensor.untyped_storage().nbytes() > tensor.nbytes]
    _expect(not kept, "The carry holds a view of something larger", "all of it stays alive, and is saved: copy it")
    _expect(
        not any(t.requires_grad for t in tensors.values()), "The carry holds a live parameter", "a tensor that wants a gradient"
    )
    loaded = unpack(load(save({name: value.contiguous() for name, value in tensors.items()})), json.loads(json.dumps(skeleton)))
    return Carry(like(carry.state, loaded.state), loaded.memory)


def check_borders(strategy: Strategy, setting: Problem) -> None:
    """Where windows end leaves no trace."""
    walks = {cut: Walk(strategy, setting).over(setting.window, cut) for cut in (29, 5, 3, 1)}
    for cut, walk in walks.items():
        same = torch.equal(walk.parameters(), walks[29].parameters())
        _expect(same, "The borders of windows leave a trace", f"windows of {cut} steps give other parameters than one of 29")
    _expect(walks[29].largest >= 1e-8, "The gradient is dead", f"norm {walks[29].largest}")


def check_exact(strategy: Strategy, setting: Problem) -> None:
    """The gradient over one window, summed over its estimates, is the exact one."""
    unroll, window = copy.deepcopy(setting.unroll), setting.window
    carry = strategy.start(unroll, window.batch_size)._replace(state=setting.state)
    for part in (window, window[:, :0]):
        for estimate in strategy.gradients(unroll, part, carry):
            carry = estimate.carry
    off = distance(gradients(unroll), exact(setting))
    _expect(off <= 1e-12, "The strategy calls itself exact and is not", f"relative difference {off:.3g}")


def _expect(kept: bool, wrong: str, given: str) -> None:
    expect(kept, wrong, given, "check_strategy")
