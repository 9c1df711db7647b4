"""Who looks over torch's shoulder: compilers, modes and transforms, to which a compiled call would be a black box.

Knows how torch tells of them; must not know any kernel.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def captured() -> bool:
    """Whether somebody must see every operation: a compiler, or a mode that takes torch's calls."""
    return torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() > 0


def transformed() -> bool:
    """Whether something of torch must see single operations: vmap, jvp, jacrev, forward-mode derivatives, jit.trace."""
    if torch.compiler.is_compiling():
        return False
    if torch.jit.is_tracing():
        return True
    return torch._C._functorch.peek_interpreter_stack() is not None or torch.autograd.forward_ad._current_level >= 0


def differentiated_again(grads: Iterable[Tensor | None]) -> bool:
    """Whether a backward pass must be made of plain operations: it is recorded, or its gradients come as a batch."""
    if torch.is_grad_enabled() or torch._C._functorch.peek_interpreter_stack() is not None:
        return True
    return any(torch._C._functorch.is_legacy_batchedtensor(grad) for grad in grads if grad is not None)
