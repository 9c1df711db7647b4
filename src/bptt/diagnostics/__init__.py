"""Measurements of gradients: what a strategy does to a model, and what a model does to its gradients.

Knows strategies and unrolled models as they are measured; must not know files or terminals.
"""

from bptt.diagnostics.comparison import Comparison, compare
from bptt.diagnostics.credit_map import CreditMap, credit
from bptt.diagnostics.diagnosis import Diagnosis, diagnose
from bptt.diagnostics.watch import Watch

__all__ = ["Comparison", "CreditMap", "Diagnosis", "Watch", "compare", "credit", "diagnose"]
