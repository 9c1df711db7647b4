"""What a run gave, and how to take a trained model out of its directory."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bptt.errors import CheckpointError
from bptt.models import LanguageModel, SeriesModel
from bptt.training import checkpoint
from bptt.training.course import Best
from bptt.training.directory import RunDirectory

MODELS: dict[str, Any] = {"language": LanguageModel, "series": SeriesModel}


@dataclasses.dataclass(frozen=True)
class Run:
    """A run that has ended.

    model    with the parameters of the last update
    best     of all epochs (`bptt.load(run.path)` gives the model as it was then)
    history  the "epoch" and "valid" events, one dict each
    reason   finished or early-stop
    path     the run directory, or None
    """

    model: Any
    best: Best
    history: list[dict[str, Any]]
    reason: str
    path: Path | None
    step: int
    tokens: int
    seconds: float

    @property
    def perplexity(self) -> float:
        """Training perplexity over the last epoch."""
        return next(event["train_perplexity"] for event in reversed(self.history) if event["event"] == "epoch")


def parameters(model: nn.Module) -> dict[str, torch.Tensor]:
    """What is saved of a model: parameters and buffers, each once, however often it is used."""
    kept = model.state_dict().keys()  # some buffers are not
    buffers = {name: value for name, value in model.named_buffers() if name in kept}
    return {**dict(model.named_parameters()), **buffers}


@torch.no_grad()
def set_parameters(model: nn.Module, saved: dict[str, torch.Tensor]) -> None:
    """Put saved values in place, without re-binding a parameter; CheckpointError if they are another model's."""
    present = parameters(model)
    missing, extra = present.keys() - saved.keys(), saved.keys() - present.keys()
    if missing or extra:
        given = f"missing {sorted(missing)[:3]}, unknown {sorted(extra)[:3]}"
        raise CheckpointError("The checkpoint is of another model", given, "Build the model with the settings of the run")
    for name, value in present.items():
        if value.shape != saved[name].shape:
            given = f"{name} is {tuple(saved[name].shape)} there, {tuple(value.shape)} here"
            raise CheckpointError("The checkpoint is of another model", given, "Build the model with the settings of the run")
        value.copy_(saved[name])


def load(path: str | os.PathLike[str], *, which: str = "best", device: torch.device | str = "cpu") -> Any:
    """The model of a run, on `device`, in evaluation mode and in the precision it was trained in.

    Arguments: path, a run directory; which, "best" or "last". Raises CheckpointError for a foreign or damaged directory.

        model = bptt.load("runs/book")
        print(model.generate("The ", length=200))
    """
    directory = RunDirectory(path).require()
    return from_checkpoint(checkpoint.load(directory.checkpoints, which)).to(device)


def from_checkpoint(saved: checkpoint.Saved) -> Any:
    """The model that a checkpoint holds; CheckpointError for one with a cell of the user's own."""
    try:
        model = MODELS[saved.model["kind"]].from_json(saved.model)
        dtype = next(value.dtype for value in saved.parameters.values() if value.is_floating_point())
    except (KeyError, TypeError, StopIteration) as error:
        todo = "A model with your own cell: build it in your code, and continue with bptt.fit(…, resume=True)"
        raise CheckpointError("The checkpoint describes no model of ours", str(error), todo) from error
    model = model.to(dtype)
    set_parameters(model, saved.parameters)
    return model.eval()
