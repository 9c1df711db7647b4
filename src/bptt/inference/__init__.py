"""Inference: what comes next, how well a text or a series is predicted, how likely a sentence is.

It sees a step function and a state, never a model class, so it serves any model that can be stepped.
"""

from bptt.inference.ahead import ahead
from bptt.inference.evaluate import evaluate, evaluate_text
from bptt.inference.generate import generate
from bptt.inference.sampling import Sampling
from bptt.inference.score import TokenScore, score, total
from bptt.inference.step import quiet
from bptt.inference.text import stream

__all__ = ["Sampling", "TokenScore", "ahead", "evaluate", "evaluate_text", "generate", "quiet", "score", "stream", "total"]
