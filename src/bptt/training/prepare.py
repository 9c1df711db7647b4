"""From settings to a training that is ready to run.

Knows how model, corpus and settings become stream, optimiser and loop; writes nothing.
"""

from __future__ import annotations

import torch

from bptt.data import Corpus
from bptt.data.series import SeriesData
from bptt.errors import InputError
from bptt.models import LanguageModel, SeriesModel
from bptt.ranks import ALONE, Ranks
from bptt.training.devices import find_device, precision
from bptt.training.listeners import TensorBoard
from bptt.training.loop import Training
from bptt.training.schedule import Schedule
from bptt.training.seeds import seed_everything
from bptt.training.settings import TrainSettings
from bptt.training.update import Update, make_optimizer


def check_vocabulary(model: LanguageModel | SeriesModel, corpus: Corpus | SeriesData) -> None:
    """InputError unless the model's tokens are the corpus's; a model that knows only a size needs one that suffices."""
    theirs, ours = corpus.vocab, model.vocab
    if theirs is None:
        return
    wrong, todo = "The model has other tokens than the corpus", "Make the model with vocab=corpus.vocab"
    if model.size < len(theirs) or (ours is not None and len(ours) != len(theirs)):
        raise InputError(wrong, f"{model.size:,} tokens there, {len(theirs):,} in the corpus", todo)
    if ours is not None and ours != theirs:
        pairs = enumerate(zip(ours.spellings, theirs.spellings, strict=True))
        differing = (f"token {i} is {a!r} there, {b!r} in the corpus" for i, (a, b) in pairs if a != b)
        raise InputError(wrong, next(differing, "the same tokens, but cut from text in another way"), todo)


def prepare(
    model: LanguageModel | SeriesModel, corpus: Corpus | SeriesData, s: TrainSettings, ranks: Ranks = ALONE
) -> Training:
    """Everything that settings, model and text alone can tell is refused here, before a run is replaced or an hour is spent.

    What a strategy says to the model and its first window, `rehearse` asks it.
    """
    if s.tensorboard:
        TensorBoard.required()
    for prefix in s.sample_prefix:
        if model.vocab is not None:
            model.vocab.encode(prefix)
    device = find_device(s.device, ranks)
    dtype, autocast = precision(s.dtype)
    stream = corpus.train.stream(s.batch_size, s.steps, s.sampling, block=s.block, seed=s.seed)
    ranks = ranks.over(stream.batch_size)
    stream.rows = ranks.rows
    if s.threads is not None:
        torch.set_num_threads(s.threads)
    seed_everything(s.seed + ranks.rank)  # masks from torch's own generator differ between rows of two processes, too
    model.to(device=device, dtype=dtype).train()
    unroll = model.unroll(per=stream.batch_size * s.gradient.nominal(stream.steps), autocast=autocast)
    unroll.ranks = ranks
    optimizer = make_optimizer(s.optimizer, unroll.parameters(), lr=s.lr, momentum=s.momentum, weight_decay=s.weight_decay)
    schedule = Schedule(s.schedule, s.epochs, s.warmup, s.decay, s.decay_every)
    training = Training(unroll, stream, s.gradient, Update(unroll.parameters(), optimizer, schedule, s.clip), device)
    training.vocabulary = model.size if isinstance(model, LanguageModel) else None
    training.pace = lambda epochs: model.progress(epochs / s.epochs)
    training.keep_pace()
    return training
