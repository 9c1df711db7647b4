"""What a run gave, and how to take a trained model out of its directory."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bptt.errors import CheckpointError, InputError
from bptt.models import LanguageModel, SeriesModel
from bptt.training import checkpoint
from bptt.training.course import Best
from bptt.training.directory import RunDirectory

PRECISIONS = (torch.float32, torch.float64)
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
    check_parameters(model, saved)
    for name, value in parameters(model).items():
        value.copy_(saved[name])


def check_parameters(model: nn.Module, saved: dict[str, torch.Tensor]) -> None:
    """CheckpointError unless these are the parameters of such a model, by name and shape."""
    present = parameters(model)
    missing, extra = present.keys() - saved.keys(), saved.keys() - present.keys()
    if missing or extra:
        given = f"missing {sorted(missing)[:3]}, unknown {sorted(extra)[:3]}"
        raise CheckpointError("The checkpoint is of another model", given, "Build the model with the settings of the run")
    for name, value in present.items():
        if value.shape != saved[name].shape:
            given = f"{name} is {tuple(saved[name].shape)} there, {tuple(value.shape)} here"
            raise CheckpointError("The checkpoint is of another model", given, "Build the model with the settings of the run")


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
        kind, (dtype,) = MODELS[saved.model["kind"]], {v.dtype for v in saved.parameters.values() if v.is_floating_point()}
        if saved.model["settings"].get("layers", 1) > len(saved.parameters) or dtype not in PRECISIONS:
            raise ValueError(f"{saved.model['settings']}, {dtype}"[:200])
        with torch.device("meta"):  # a description takes no memory before it is clear that the numbers are its own
            check_parameters(kind.from_json(saved.model), saved.parameters)
        model = kind.from_json(saved.model)
    except CheckpointError:
        raise
    except (AttributeError, InputError, KeyError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        todo = "A model with your own cell: build it in your code, and continue with bptt.fit(…, resume=True)"
        raise CheckpointError("The checkpoint describes no model of ours", str(error), todo) from error
    model = model.to(dtype)
    set_parameters(model, saved.parameters)
    return model.eval()
