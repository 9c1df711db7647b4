"""What may not change between a run and its continuation: the model, the text, and every setting that moves a number.

Knows models, corpora and settings; must not know files.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from bptt.data import Corpus
from bptt.data.series import SeriesData
from bptt.errors import CheckpointError
from bptt.models import LanguageModel, SeriesModel
from bptt.training.checkpoint import Saved
from bptt.training.settings import TrainSettings

# Settings that a continuation may choose anew: how long, on what, and what is written when.
CHANGEABLE = (
    *("epochs", "patience", "device", "threads", "tensorboard", "save_every", "log_every"),
    *("sample_every", "sample_prefix", "sample_length", "temperature"),
)


def describe_model(model: LanguageModel | SeriesModel) -> dict[str, Any]:
    """The model without its numbers, as plain JSON; of a cell of the user's own, only the name."""
    if not model.own_cell:
        return model.to_json()
    vocab = model.size if model.vocab is None else model.vocab.to_json()
    return {"kind": "own", "settings": {"cell": cell_name(model)}, "vocab": vocab}


def cell_name(model: LanguageModel | SeriesModel) -> str:
    """One of our names, or the class of the user's own cell."""
    if isinstance(model, SeriesModel):
        return model.cell
    return type(model.recurrent).__name__ if model.own_cell else model.settings.cell


def identity(corpus: Corpus | SeriesData, settings: TrainSettings) -> dict[str, Any]:
    """What is saved with every checkpoint to know the run again."""
    return {"text": corpus.facts.get("sha256"), **chosen(settings)}


def chosen(settings: TrainSettings) -> dict[str, Any]:
    """The settings that a continuation must share."""
    fixed = [field.name for field in dataclasses.fields(settings) if field.name not in CHANGEABLE]
    return {**{name: getattr(settings, name) for name in fixed}, "gradient": repr(settings.gradient)}


def check_same(saved: Saved, model: LanguageModel | SeriesModel, corpus: Corpus | SeriesData, settings: TrainSettings) -> None:
    """CheckpointError, naming the difference, if the checkpoint is of another model, vocabulary, text or method.

    A setting that is younger than the checkpoint has its default there: it stands for what was done before it was a choice.
    """
    here = {**describe_model(model), **identity(corpus, settings)}
    there = {**chosen(TrainSettings()), **saved.model, **saved.state["identity"]}
    if not model.own_cell and isinstance(there.get("settings"), dict):
        there["settings"] = {**type(model.settings)().to_json(), **there["settings"]}
    if there.get("vocab") != here["vocab"]:
        raise CheckpointError("The checkpoint has another vocabulary", str(saved.path), "Resume with the text of the run")
    for key, value in here.items():
        if there.get(key) != value:
            what = {"settings": "model", "kind": "model"}.get(key, key)
            given = f"{there.get(key)} there, {value} here"
            raise CheckpointError(f"The checkpoint was made with another {what}", given, "Resume with the run's own")
