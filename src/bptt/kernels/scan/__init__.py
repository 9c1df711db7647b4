"""The linear recurrence h_t = a_t h_{t−1} + b_t, unit by unit: step by step, and as a scan over all steps at once."""

from bptt.kernels.scan.recurrence import scan

__all__ = ["scan"]
