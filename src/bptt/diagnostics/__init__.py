"""Measurements of gradients: what a strategy does to a model, and what a model does to its gradients.

Knows strategies and unrolled models as they are measured; must not know files or terminals.
"""

from bptt.diagnostics.credit_map import CreditMap, credit

__all__ = ["CreditMap", "credit"]
