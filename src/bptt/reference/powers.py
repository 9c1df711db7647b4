"""Why gradients vanish or explode: over k steps of the linear RNN a gradient is multiplied by (W_hhᵀ)ᵏ.

    ρᵏ ≤ ‖Wᵏ‖ ≤ ‖W‖ᵏ        ‖Wᵏ‖^(1/k) → ρ, the spectral radius

For k large only ρ counts: below 1 gradients vanish, above 1 they explode. At first the norm ‖W‖ counts, which may be above 1
where ρ is below. ‖·‖ is the largest singular value; W [H, H] is any square matrix. What a trained model does is measured
elsewhere: here are the powers alone. Source: Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural
networks, 2013.
"""

from __future__ import annotations

import numpy as np

from bptt.reference.notation import Array, Numbers, shaped


def powers(W: Numbers, k: int) -> Array:
    """(Wᵀ)⁰, (Wᵀ)¹ … (Wᵀ)ᵏ [k+1, H, H], each from the one before.

    >>> powers([[1, 1], [0, 1]], 3)[3].tolist()
    [[1.0, 0.0], [3.0, 1.0]]
    """
    W = shaped("W", W, *[len(np.atleast_1d(W))] * 2)
    found = [np.eye(len(W))]
    for _ in range(k):
        found.append(W.T @ found[-1])
    return np.stack(found)


def norms(W: Numbers, k: int) -> Array:
    """‖W⁰‖ … ‖Wᵏ‖ [k+1]: the most that a gradient can grow over that many steps.

    >>> norms([[0.5, 0], [0, 0.25]], 3).tolist()
    [1.0, 0.5, 0.25, 0.125]
    """
    return np.linalg.norm(powers(W, k), ord=2, axis=(1, 2))


def spectral_radius(W: Numbers) -> float:
    """ρ, the largest absolute value of an eigenvalue of W.

    >>> round(spectral_radius([[0, 2], [-2, 0]]), 12)
    2.0
    """
    return float(np.abs(np.linalg.eigvals(np.asarray(W, dtype=np.float64))).max())
