"""Recurrent layers: drop-ins for torch's, stacks of any cell, and one adapter for all of them.

Knows parameters and the kernels that use them; must not know losses, windows' targets or strategies.
"""

from bptt.nn.adapters import Layer
from bptt.nn.dropout import Dropout
from bptt.nn.forcing import scheduled
from bptt.nn.gru import GRU
from bptt.nn.init import from_scratch_
from bptt.nn.leaky_rnn import LeakyRNN
from bptt.nn.lookup import Lookup
from bptt.nn.lru import LRU
from bptt.nn.lstm import LSTM
from bptt.nn.mingru import MinGRU
from bptt.nn.output_to_hidden import OutputToHidden
from bptt.nn.recurrent import adapt
from bptt.nn.replace import replace
from bptt.nn.rnn import RNN
from bptt.nn.stack import Stack
from bptt.nn.tdnn import TDNN

__all__ = [
    "GRU",
    "LRU",
    "LSTM",
    "RNN",
    "TDNN",
    "Dropout",
    "Layer",
    "LeakyRNN",
    "Lookup",
    "MinGRU",
    "OutputToHidden",
    "Stack",
    "adapt",
    "from_scratch_",
    "replace",
    "scheduled",
]
