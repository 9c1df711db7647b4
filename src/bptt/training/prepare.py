"""From settings to a training that is ready to run.

Knows how model, corpus and settings become stream, optimiser and loop; writes nothing.
"""

from __future__ import annotations

import torch

from bptt.data import Corpus
from bptt.models import LanguageModel
from bptt.training.devices import find_device, precision
from bptt.training.listeners import TensorBoard
from bptt.training.loop import Training
from bptt.training.schedule import Schedule
from bptt.training.seeds import seed_everything
from bptt.training.settings import TrainSettings
from bptt.training.update import Update, make_optimizer


def prepare(model: LanguageModel, corpus: Corpus, s: TrainSettings) -> Training:
    """Everything that can be refused is refused here, before a run is replaced or an hour is spent."""
    if s.tensorboard:
        TensorBoard.required()
    for prefix in s.sample_prefix:
        if model.vocab is not None:
            model.vocab.encode(prefix)
    device = find_device(s.device)
    dtype, autocast = precision(s.dtype)
    stream = corpus.train.stream(s.batch_size, s.steps, s.sampling, block=s.block, seed=s.seed)
    if s.threads is not None:
        torch.set_num_threads(s.threads)
    seed_everything(s.seed)
    model.to(device=device, dtype=dtype).train()
    unroll = model.unroll(per=stream.batch_size * s.gradient.nominal(stream.steps), autocast=autocast)
    optimizer = make_optimizer(s.optimizer, unroll.parameters(), lr=s.lr, momentum=s.momentum, weight_decay=s.weight_decay)
    schedule = Schedule(s.schedule, s.epochs, s.warmup, s.decay, s.decay_every)
    return Training(unroll, stream, s.gradient, Update(unroll.parameters(), optimizer, schedule, s.clip), device)
