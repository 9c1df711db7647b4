"""Training: one loop for every strategy, and around it updates, checkpoints, seeds, and the run directory."""

from bptt.training.course import Best
from bptt.training.fit import fit
from bptt.training.launch import join
from bptt.training.run import Run, load
from bptt.training.settings import TrainSettings

__all__ = ["Best", "Run", "TrainSettings", "fit", "join", "load"]
