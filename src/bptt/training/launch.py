"""How this process finds the others of its training: by the variables that torchrun sets.

Knows the environment; must not know what the processes are going to do.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping

from bptt.errors import InputError, ProcessLostError
from bptt.ranks import ALONE, Ranks

NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
TIMEOUT = 45.0
LAUNCH = "Start with torchrun --nproc-per-node 2 -m bptt train …, or unset them all to train in one process"


def join(timeout: float = TIMEOUT) -> Ranks:
    """Meet the other processes that torchrun has started, each of which calls this; without torchrun, one process.

    Arguments: timeout, seconds that processes wait for each other, here and later, before they give up.

    Returns what `fit` takes as `ranks`. Raises InputError where only some of torchrun's variables are set, ProcessLostError if
    the others do not come.

        ranks = bptt.training.join()
        run = bptt.fit(model, corpus, out="runs/book", ranks=ranks)
    """
    if not 0 < timeout < 1e7:
        raise InputError("timeout must be a number of seconds above 0", f"timeout={timeout!r}", f"Give for example {TIMEOUT:g}")
    rank, size = place(os.environ)
    if size == 1:
        return ALONE
    import torch.distributed as dist

    if not dist.is_available():
        raise InputError("This torch was built without torch.distributed", f"WORLD_SIZE={size}", "Train in one process")
    from bptt.training.group import first_line, group

    try:
        store = next(dist.rendezvous("env://", timeout=datetime.timedelta(seconds=timeout)))[0]
        return group(rank, size, store, timeout, f":{os.environ.get('LOCAL_RANK') or 0}")
    except RuntimeError as error:
        raise ProcessLostError(
            "The processes of this training did not find each other",
            f"process {rank} of {size} waited {timeout:g} s at {os.environ['MASTER_ADDR']}: {first_line(error)}",
            "See that all are started, and that the port is free",
        ) from error


def place(variables: Mapping[str, str]) -> tuple[int, int]:
    """The number of this process and how many there are; (0, 1) where nobody speaks of several."""
    if not variables.get("RANK") and not variables.get("WORLD_SIZE"):
        return 0, 1
    missing = [name for name in NEEDED if not variables.get(name)]
    if missing and variables.get("WORLD_SIZE") != "1":
        known = ", ".join(f"{name}={variables[name]}" for name in NEEDED if variables.get(name))
        raise InputError(f"Some of torchrun's variables are set, but not {', '.join(missing)}", known, LAUNCH)
    try:
        rank, size = int(variables.get("RANK") or 0), int(variables["WORLD_SIZE"])
        if not 0 <= rank < size:
            raise ValueError
    except ValueError as error:
        given = f"RANK={variables.get('RANK')!r}, WORLD_SIZE={variables['WORLD_SIZE']!r}"
        raise InputError("torchrun's variables are no rank below a number of processes", given, LAUNCH) from error
    return rank, size
