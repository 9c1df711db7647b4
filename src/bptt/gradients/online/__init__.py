"""Gradients that run forward in time: what the past did to the state is carried along, and no step is ever revisited."""

from bptt.gradients.online.rtrl import RTRL
from bptt.gradients.online.snap import SnAp
from bptt.gradients.online.uoro import UORO

__all__ = ["RTRL", "UORO", "SnAp"]
