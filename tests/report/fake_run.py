"""A run directory as training writes it, with noisy decaying curves and Chinese samples; any part can be replaced."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

CONFIG = """\
corpus: 红楼梦.txt
unit: char
model:
  cell: gru
  hidden_size: 256
  layers: 1
gradient: truncated:k1=64,k2=128
training:
  epochs: 3
  batch_size: 32
  clip: 1.0
  lr: 0.004
  seed: 0
"""
ENVIRONMENT = {
    "python": "3.12.4",
    "torch": "2.6.0",
    "bptt": "0.1.0",
    "machine": "x86_64, 2 cores",
    "threads": 2,
    "device": "cpu",
    "dtype": "float32",
    "kernel": "gru/fast",
}
FREQUENT = ["，", "。", "的", "了", "\n", *"不一 道来我是", "<unk>", *"宝玉他"]
HEAD = [[token, 61234 // rank] for rank, token in enumerate(FREQUENT, 1)]
CORPUS = {
    "source": "红楼梦.txt",
    "unit": "char",
    "characters": 856_321,
    "tokens": 770_689,
    "valid_tokens": 85_632,
    "distinct": 4_412,
    "vocab_size": 3_000,
    "unknown_share": 0.0031,
    "head": HEAD,
}
EARLY = "，的了不一。。来\n了道，是我不，，的一来 了。"
LATE = (
    "听了，忙笑道：「你们又来了。」说着，便往里间去了。\n"
    "黛玉见他如此，不觉又添了几分伤感，因叹道：「花谢花飞，人去楼空，谁又记得今日呢？」"
)


def step(n: int, rng: random.Random, of: int = 3000) -> dict[str, object]:
    """The line of update `n`: perplexity from about 3000 down to 60, warm-up and cosine, now and then a peak."""
    norm = 0.4 + 2.2 * math.exp(-n / (0.05 * of)) + abs(rng.gauss(0, 0.22)) + (rng.random() < 0.01) * rng.uniform(1, 9)
    lr = 0.004 * min(n / (0.05 * of), 0.5 + 0.5 * math.cos(math.pi * n / of))
    return {
        "event": "step",
        "step": n,
        "epoch": 1 + 3 * n // (of + 1),
        "loss": 4.1 + 3.9 * math.exp(-n / (0.16 * of)) + rng.gauss(0, 0.09),
        "grad_norm": norm,
        "clipped": norm > 1.0,
        "lr": lr,
        "tokens": 2048 * n,
        "seconds": 0.11 * n + 0.004 * n * math.sin(n / 300),
        "k": 64,
    }


def events(steps: int = 3000) -> list[dict[str, object]]:
    """The lines of a whole run of `steps` updates and three epochs."""
    rng = random.Random(0)
    lines: list[dict[str, object]] = [{"event": "start", "time": "2026-01-05T10:00:00+00:00", "parameters": 1_842_616}]
    every = max(1, steps // 15)
    for n in range(1, steps + 1):
        lines.append(step(n, rng, steps))
        if n % every == 0:
            nats = 4.42 + 3.5 * math.exp(-n / (0.17 * steps)) + 0.35 * max(0.0, n / steps - 0.75)
            lines.append({"event": "valid", "step": n, "epoch": 1, "nats": nats, "perplexity": math.exp(nats), "seconds": 1.0})
            text = EARLY if n < steps // 4 else LATE[: 20 + 60 * n // steps]
            lines += [
                {"event": "sample", "step": n, "epoch": 1, "prefix": "宝玉", "text": text},
                {"event": "sample", "step": n, "epoch": 1, "prefix": "却说", "text": text[::-1] if n < steps // 4 else LATE},
            ]
        if n % max(1, steps // 3) == 0:
            lines.append({"event": "epoch", "epoch": 3 * n // steps, "step": n, "train_nats": 4.1 + 1 / n, "clip_rate": 0.1})
    lines.append({"event": "end", "step": steps, "reason": "finished", "best": {"step": 12 * every, "perplexity": 90.0}})
    return lines


def write_run(folder: Path, lines: list[object], *, tail: str = "", **files: str | None) -> Path:
    """A run directory with these metric lines; `files` replaces (or, None, leaves out) config, env, corpus."""
    folder.mkdir(parents=True)
    texts = {"config": CONFIG, "env": json.dumps(ENVIRONMENT), "corpus": json.dumps(CORPUS, ensure_ascii=False)} | files
    for stem, name in (("config", "config.yaml"), ("env", "env.json"), ("corpus", "corpus.json"), ("samples", "samples.txt")):
        if (text := texts.get(stem)) is not None:
            (folder / name).write_text(text, encoding="utf-8")
    body = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(body + tail, encoding="utf-8")
    return folder
