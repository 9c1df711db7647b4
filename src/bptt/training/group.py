"""Several processes that train one model, over torch.distributed.

Knows collectives, and how a gradient, an estimate and a carry come together out of parts; must not know when that is asked for,
nor files. Nothing is pickled: what is no plain tensor travels as JSON and safetensors.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from bptt.errors import ContractError, InputError, ProcessLostError
from bptt.ranks import ALONE, Ranks
from bptt.training import shares
from bptt.training.pack import pack, unpack
from bptt.types import Carry, Estimate

GRACE = 5.0  # seconds that the first process waits for the others to hear why it ends


def share(batch_size: int, rank: int, size: int) -> slice:
    """The rows of one process: a run of neighbours, at most one row more than any other has."""
    return slice(rank * batch_size // size, (rank + 1) * batch_size // size)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Group(Ranks):
    """All processes, and a store that they share for last words.

    timeout     seconds that a process waits for the others before it gives them up
    batch_size  rows of a batch over all processes, once that is known
    """

    rank: int
    size: int
    store: dist.Store
    timeout: float
    gpu: str
    batch_size: int = 0

    def __deepcopy__(self, memo: Any) -> Ranks:
        """Who copies a model looks at it alone."""
        return ALONE

    @property
    def rows(self) -> slice:  # type: ignore[override]
        """The rows that this process has."""
        return share(self.batch_size, self.rank, self.size)

    def over(self, batch_size: int) -> Group:
        """These processes, and who has which row."""
        if batch_size < self.size:
            raise InputError(
                "There are more processes than rows of a batch, and each needs a row",
                f"{self.size} processes, {batch_size} rows",
                "Start fewer processes, or give a larger batch_size",
            )
        return dataclasses.replace(self, batch_size=batch_size)

    def draw(self, rows: int, make: Callable[[int], Tensor]) -> Tensor:
        """What is drawn for a row does not depend on which process has it."""
        return make(self.batch_size)[self.rows]

    def mean(self, value: Tensor) -> Tensor:
        """The same on all processes, bit for bit."""
        return self._reduced(value.detach().clone(memory_format=torch.contiguous_format)) / self.size

    def pooled(self, estimate: Estimate) -> Estimate:
        """Sums, so that a process with more rows, or more losses that count, weighs more.

        ContractError where the processes do not stand at the same step: what they say next would be about different things.
        """
        own = [float(estimate.loss_sum), estimate.count, estimate.steps, estimate.ready]
        loss, count, steps, ready = self._reduced(torch.tensor(own, dtype=torch.float64)).unbind()
        if steps != self.size * estimate.steps or ready != self.size * estimate.ready:
            raise ContractError(
                "The strategy cuts at different steps on different processes",
                f"process {self.rank} after {estimate.steps} steps of its window, {float(steps):g} on all {self.size} together",
                "Let cuts depend on the position alone, or agree on what they depend on with unroll.agree",
            )
        return dataclasses.replace(estimate, loss_sum=loss, count=int(count))

    @torch.no_grad()
    def add_up(self, parameters: Iterable[nn.Parameter]) -> None:
        """In one piece for each type; a parameter that has no gradient on any process gets none."""
        kinds = defaultdict(list)
        for parameter in parameters:
            kinds[parameter.dtype, parameter.device].append(parameter)
        for members in kinds.values():
            present = members[0].new_tensor([parameter.grad is not None for parameter in members])
            parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in members]
            flat = self._reduced(torch.cat([*(part.reshape(-1) for part in parts), present]))
            *sums, present = flat.split([*(parameter.numel() for parameter in members), len(members)])
            for parameter, held, part, summed in zip(members, present.tolist(), parts, sums, strict=True):
                if held:
                    parameter.grad = part.copy_(summed.view_as(part))

    def largest(self, *values: int) -> tuple[int, ...]:
        """In one message."""
        return tuple(self._reduced(torch.tensor(values, dtype=torch.int64), dist.ReduceOp.MAX).tolist())

    def alike(self, text: Callable[[], str]) -> bool:
        """By a digest of 62 bits."""
        digest = int.from_bytes(hashlib.sha256(text().encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 2
        high, low = self.largest(digest, -digest)
        return high == -low

    def told(self, value: Any) -> Any:
        """As JSON."""
        data = json.dumps(value).encode() if self.first else b""
        buffer = torch.zeros(self.largest(len(data))[0], dtype=torch.uint8)
        if self.first:
            buffer.copy_(_bytes(data))
        with self._heard():
            dist.broadcast(buffer, 0)
        return json.loads(buffer.numpy().tobytes())

    @torch.no_grad()
    def spread(self, tensors: Iterable[Tensor]) -> None:
        """One after the other."""
        for tensor in tensors:
            buffer = tensor.detach().clone(memory_format=torch.contiguous_format)
            with self._heard():
                dist.broadcast(buffer, 0)
            tensor.copy_(buffer)

    def gathered(self, value: Any) -> list[Any]:
        """The first process gets them all."""
        data = _bytes(_encoded(value))
        buffer = torch.zeros(self.largest(len(data))[0], dtype=torch.uint8)
        buffer[: len(data)] = data
        buffers = [torch.empty_like(buffer) for _ in range(self.size)] if self.first else None
        with self._heard():
            dist.gather(buffer, buffers)
        return [value, *(_decoded(other.numpy().tobytes()) for other in (buffers or [])[1:])] if self.first else []

    def whole(self, parts: list[Carry]) -> Carry:
        """Row after row."""
        bounds = [share(self.batch_size, rank, self.size) for rank in range(self.size)]
        return shares.whole(parts, [rows.stop - rows.start for rows in bounds])

    def part(self, carry: Carry) -> Carry:
        """Copies, so that they lie in memory as those of a run that goes on."""
        return shares.part(carry, self.rows, self.batch_size)

    def claim(self, code: int) -> tuple[bool, int]:
        """Whether this process is the first to end with an error and shall say why, and the exit code of all of them."""
        mine = f"{self.rank}:{code}"
        try:
            theirs = self.store.compare_set("ended", "", mine).decode()
        except RuntimeError:  # the store was in a process that is gone
            return True, code
        return theirs == mine, int(theirs.partition(":")[2])

    def leave(self, well: bool) -> None:
        """End with the others: where one process ends, the launcher ends the rest, or the store goes with it.

        well  False: those that still wait in a collective hear of it at once, and are waited for no longer than a moment
        """
        if not well:
            dist.destroy_process_group()
        with contextlib.suppress(RuntimeError):
            here, begun = self.store.add("left", 1), time.monotonic()
            while here < self.size and time.monotonic() - begun < (self.timeout if well else GRACE):
                time.sleep(0.02)
                here = self.store.add("left", 0)
        if well:
            dist.destroy_process_group()

    def _reduced(self, value: Tensor, how: Any = dist.ReduceOp.SUM) -> Tensor:
        with self._heard():
            dist.all_reduce(value, how)
        return value

    @contextlib.contextmanager
    def _heard(self) -> Iterator[None]:
        """A collective fails when another process is gone, or does not answer in time."""
        try:
            yield
        except RuntimeError as error:
            raise ProcessLostError(
                "Another process of this training has ended or does not answer",
                f"process {self.rank} of {self.size} waited at most {self.timeout:g} s: {first_line(error)}",
                "The last checkpoint is whole: start all processes again, with --resume",
            ) from error


def group(rank: int, size: int, store: dist.Store, timeout: float, gpu: str) -> Group:
    """The processes that meet at `store`: gloo, and NCCL for what lies on GPUs."""
    gpus = torch.cuda.is_available() and dist.is_nccl_available()
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if gpus else "gloo",
        store=dist.PrefixStore("collectives", store),
        rank=rank,
        world_size=size,
        timeout=datetime.timedelta(seconds=timeout),
    )
    return Group(rank=rank, size=size, store=dist.PrefixStore("words", store), timeout=timeout, gpu=gpu)


def first_line(error: BaseException) -> str:
    """The first line of what torch says, without the place in its source."""
    line = next(iter(str(error).splitlines()), type(error).__name__)
    return line.partition("] ")[2] or line if line.startswith("[") else line


def _bytes(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.zeros(0, dtype=torch.uint8)


def _encoded(value: Any) -> bytes:
    """A nest as bytes: the length of its skeleton, its skeleton, its tensors."""
    from safetensors.torch import save

    tensors, skeleton = pack(value)
    text = json.dumps(skeleton).encode()
    own = {name: leaf.to("cpu").clone(memory_format=torch.contiguous_format) for name, leaf in tensors.items()}
    return len(text).to_bytes(8, "big") + text + save(own)


def _decoded(data: bytes) -> Any:
    from safetensors.torch import load

    end = 8 + int.from_bytes(data[:8], "big")
    # The buffers of all processes are as long as the longest: safetensors wants none of the filling.
    size = 8 + int.from_bytes(data[end : end + 8], "little")
    header = json.loads(data[end + 8 : end + size])
    content = max((about["data_offsets"][1] for name, about in header.items() if name != "__metadata__"), default=0)
    return unpack(load(data[end : end + size + content]), json.loads(data[8:end]))
