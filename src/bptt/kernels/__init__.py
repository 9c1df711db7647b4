"""The recurrences themselves: pure functions over a whole stretch, one folder each, a readable reference in every folder.

Knows tensors and equations; must not know any module, parameter name, window or strategy.
"""

from bptt.kernels.dispatch import Kernel, choose, readable

__all__ = ["Kernel", "choose", "readable"]
