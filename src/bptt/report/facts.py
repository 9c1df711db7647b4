"""What a run comes to: best result, last training result, time, speed, clipping, and how it ended.

Derives numbers from the events of a run; must not know charts or HTML.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from bptt.report.run import Record, Run
from bptt.report.series import curve, exponential, smooth
from bptt.report.words import number

CLIP_SETTINGS = ("clip", "clip_norm", "clip_grad_norm", "max_grad_norm", "grad_clip", "max_norm")
ENDINGS = {
    "finished": ("finished", "good"),
    "early-stop": ("stopped early: no more progress", "good"),
    "interrupted": ("interrupted", "warn"),
    "diverged": ("diverged", "bad"),
}


@dataclasses.dataclass(frozen=True)
class Facts:
    """The numbers that the header and the charts share; None for what was not logged."""

    status: tuple[str, str]
    best_step: float | None
    best_nats: float | None
    character_bits: float | None
    train_nats: float | None
    train_is_epoch: bool
    last_step: float | None
    epochs: float | None
    tokens: float | None
    seconds: float | None
    tokens_per_second: float | None
    clip_rate: float | None
    clip: float | None
    parameters: float | None
    unit: str

    @property
    def best_perplexity(self) -> float | None:
        """exp of the nats per token of the best validation."""
        return perplexity(self.best_nats)

    @property
    def train_perplexity(self) -> float | None:
        """exp of the nats per token of the last training epoch (or of the latest steps, before one is complete)."""
        return perplexity(self.train_nats)

    @property
    def bits(self) -> float | None:
        """Bits per token of the best validation: nats / ln 2."""
        return None if self.best_nats is None else self.best_nats / math.log(2)


def facts_of(run: Run) -> Facts:
    """The facts of `run`; whatever its files leave open is None."""
    best_step, best_nats = _best(run)
    train_nats, is_epoch = _train(run)
    tokens, seconds = latest(run.steps, "tokens"), latest(run.steps, "seconds")
    return Facts(
        status=_status(run),
        best_step=best_step,
        best_nats=best_nats,
        character_bits=_character_bits(run, best_step),
        train_nats=train_nats,
        train_is_epoch=is_epoch,
        last_step=latest([*run.steps, *run.epochs[-1:], *([run.end] if run.end else [])], "step"),
        epochs=latest(run.epochs, "epoch"),
        tokens=tokens,
        seconds=seconds,
        tokens_per_second=tokens / seconds if tokens and seconds else latest(run.epochs, "tokens_per_second"),
        clip_rate=_clip_rate(run),
        clip=number(run.setting(*CLIP_SETTINGS)),
        parameters=number(run.start.get("parameters")),
        unit=_unit(run),
    )


def perplexity(nats: float | None) -> float | None:
    """exp(nats), None where that overflows."""
    return exponential([(0.0, nats)])[0][1]


def latest(records: list[Record], key: str) -> float | None:
    """The last finite `key` among `records`."""
    return next((value for record in reversed(records) if (value := number(record.get(key))) is not None), None)


def loss_of(record: Record) -> float | None:
    """The mean loss of a validation, whatever the model is judged by."""
    return nats_of(record) if (mean := number(record.get("mean_loss"))) is None else mean


def nats_of(record: Record) -> float | None:
    """Nats per token of a validation or epoch: as logged, else from its perplexity."""
    for key in ("nats", "train_nats"):
        if (nats := number(record.get(key))) is not None:
            return nats
    logged = number(record.get("perplexity", record.get("train_perplexity")))
    return math.log(logged) if logged is not None and logged > 0 else None


def _best(run: Run) -> tuple[float | None, float | None]:
    known = [(nats, float(record["step"])) for record in run.valids if (nats := nats_of(record)) is not None]
    if known:
        nats, step = min(known)
        return step, nats
    claimed: Any = (run.end or {}).get("best")
    return (number(claimed.get("step")), nats_of(claimed)) if isinstance(claimed, dict) else (None, None)


def _character_bits(run: Run, step: float | None) -> float | None:
    """Bits per character of the validation at `step`, as logged: what makes units comparable."""
    return latest([record for record in run.valids if record["step"] == step], "bits_per_character")


def _train(run: Run) -> tuple[float | None, bool]:
    if run.start.get("measure", "perplexity") != "perplexity":
        return None, False  # its losses are no nats
    epochs = [nats for record in run.epochs if (nats := nats_of(record)) is not None]
    if epochs:
        return epochs[-1], True
    losses = [y for _, y in smooth(curve(run.steps, "loss"), 50) if y is not None]
    return (losses[-1] if losses else None), False


def _clip_rate(run: Run) -> float | None:
    clipped = [record["clipped"] for record in run.steps if isinstance(record.get("clipped"), bool)]
    return sum(clipped) / len(clipped) if clipped else latest(run.epochs, "clip_rate")


def _status(run: Run) -> tuple[str, str]:
    if run.end is None:
        return "no end recorded: running or cut off", "warn"
    reason = str(run.end.get("reason", "ended"))
    return ENDINGS.get(reason, (reason, "warn"))


def _unit(run: Run) -> str:
    unit = run.corpus.get("unit") or run.setting("unit")
    return {"char": "character", "word": "word", "step": "step"}.get(str(unit), "token")
