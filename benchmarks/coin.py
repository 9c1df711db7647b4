"""Which gradients learn what a coin remembers: `python benchmarks/coin.py [--gradient SPEC …]`.

Every rule trains the same small network on the same steps of `coin:lags=3,8`: so many lanes, so many steps, drawn anew and
never seen twice. The learning rate of each is the best of a few on the first seed, the figures are means over all seeds of the
loss on held-out steps, beside the floors in closed form. Prints a table, and draws the losses over the steps.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
import warnings
from pathlib import Path

import numpy as np
import torch

import bptt
from bptt.config import parse_strategy
from bptt.data.tasks import Coin, read_task
from bptt.training.seeds import seed_everything

RULES = (
    *("truncated:k1=4", "truncated:k1=4,k2=8", "truncated:k1=4,k2=16", "truncated:k1=1,k2=9", "truncated:k1=16"),
    *("full", "rtrl:every=4", "uoro:every=4", "rtrl", "uoro"),
    # Rules that a version may not have, or may refuse for this cell: then the table says so.
    *("snap:n=1,every=4", "rflo:every=4", "eprop:every=4", "kfrtrl:every=4", "syntheticgradient:k=4"),
)
LANES, EPOCH, HELD_OUT = 32, 500, 10_000


def main() -> None:
    """Train each rule, print the table, draw the picture."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--gradient", nargs="+", default=RULES, help="rules, as bptt train takes them")
    options.add_argument("--cell", default="rnn", help="rnn, gru or lstm")
    options.add_argument("--hidden-size", type=int, default=16)
    options.add_argument("--epochs", type=int, default=8, help=f"of {EPOCH} steps in each of {LANES} lanes")
    options.add_argument("--seeds", type=int, default=2)
    options.add_argument("--rates", type=float, nargs="+", default=(0.003, 0.01))
    options.add_argument("--lags", type=int, nargs=2, default=(3, 8))
    options.add_argument("--out", type=Path, help="keep the figures here, as JSON; rules that are in it are not run again")
    options.add_argument("--picture", type=Path, help="draw the losses here")
    args = options.parse_args()
    torch.set_num_threads(1)
    task = Coin(lags=tuple(args.lags), size=LANES * EPOCH + HELD_OUT)
    found = json.loads(args.out.read_text()) if args.out and args.out.exists() else {}
    for rule in args.gradient:
        if rule not in found:
            found[rule] = measure(rule, task, args)
            print(line(rule, found[rule]), flush=True)
            if args.out:
                args.out.write_text(json.dumps(found, indent=1))
    print(table({rule: found[rule] for rule in args.gradient}, task))
    if args.picture:
        draw({rule: found[rule] for rule in args.gradient if "loss" in found[rule]}, task, args.picture)


def measure(rule: str, task: Coin, args: argparse.Namespace) -> dict[str, object]:
    """The best rate on the first seed, then every seed with it."""
    try:
        first = {rate: train(rule, task, args, rate, 0) for rate in args.rates}
    except bptt.BpttError as error:
        return {"refused": str(error)}
    rate = min(first, key=lambda rate: first[rate]["curve"][-1])
    runs = [first[rate], *(train(rule, task, args, rate, seed) for seed in range(1, args.seeds))]
    curves = np.array([run["curve"] for run in runs])
    return {
        "rate": rate,
        "loss": float(curves[:, -1].mean()),
        "each": curves[:, -1].tolist(),
        "curve": curves.mean(0).tolist(),
        "updates": runs[0]["updates"],
        "seconds": float(np.mean([run["seconds"] for run in runs])),
    }


def train(rule: str, task: Coin, args: argparse.Namespace, rate: float, seed: int) -> dict[str, object]:
    """One run: the held-out loss at the start and after every epoch."""
    corpus = read_task(task, valid=HELD_OUT / task.size)
    seed_everything(seed)
    settings = {"hidden_size": args.hidden_size, "embedding_size": 0}
    model = bptt.LanguageModel(args.cell, vocab=corpus.vocab, **settings)
    curve = [model.evaluate(corpus.valid).mean]
    begun = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = bptt.fit(
                model,
                corpus,
                gradient=parse_strategy(rule),
                epochs=args.epochs,
                batch_size=LANES,
                steps=50,
                lr=rate,
                schedule="constant",
                seed=seed,
                sample_every=0,
            )
    except bptt.DivergedError:
        return {"curve": [*curve, *[math.inf] * args.epochs], "updates": 0, "seconds": time.perf_counter() - begun}
    curve += [event["nats"] for event in run.history if event["event"] == "valid"]
    return {"curve": curve, "updates": run.step, "seconds": run.seconds}


def verdict(loss: float, task: Coin) -> str:
    """Which levels the loss has reached: at least half of the way from the level above to this one is behind it."""
    levels = list(task.levels().items())
    reached = levels[0][0]
    for (_, above), (name, level) in itertools.pairwise(levels):
        if loss < (above + level) / 2:
            reached = name
    return reached


def line(rule: str, found: dict) -> str:
    """One rule, while it runs."""
    return f"{rule}: {found.get('refused') or round(found['loss'], 4)}"


def table(found: dict[str, dict], task: Coin) -> str:
    """All rules in Markdown, the best first."""
    rows = ["| gradient | updates | rate | held-out loss | each seed | has learnt | seconds |", "|---|---|---|---|---|---|---|"]
    measured = {rule: one for rule, one in found.items() if "loss" in one}
    for rule, one in sorted(measured.items(), key=lambda pair: pair[1]["loss"]):
        each = ", ".join(f"{loss:.3f}" for loss in one["each"])
        figures = f"{one['updates']:,} | {one['rate']:g} | **{one['loss']:.3f}** | {each} | {verdict(one['loss'], task)}"
        rows.append(f"| `{rule}` | {figures} | {one['seconds']:.0f} |")
    rows += [f"| `{rule}` | – | – | {one['refused']} | | | |" for rule, one in found.items() if "refused" in one]
    rows += ["", "levels: " + ", ".join(f"{name} {level:.4f}" for name, level in task.levels().items())]
    return "\n".join(rows)


def draw(found: dict[str, dict], task: Coin, path: Path) -> None:
    """Held-out loss over the steps, one curve per rule, the levels behind them."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
    for name, level in task.levels().items():
        axes.axhline(level, color="#888", linewidth=0.8, linestyle=(0, (4, 3)))
        axes.annotate(name, (0.005, level), xycoords=("axes fraction", "data"), va="bottom", fontsize=8, color="#555")
    colours = plt.get_cmap("tab20").colors
    for number, (rule, one) in enumerate(sorted(found.items(), key=lambda pair: -pair[1]["loss"])):
        steps = EPOCH * np.arange(len(one["curve"]))
        style = "-" if rule.startswith(("truncated", "full")) else (0, (5, 1.5))
        axes.plot(
            steps, one["curve"], color=colours[number % 20], linestyle=style, linewidth=1.6, label=f"{rule}  {one['loss']:.3f}"
        )
    axes.set(xlabel=f"steps of {LANES} lanes", ylabel="held-out loss, nats per step", ylim=(task.floor - 0.012, 0.72))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
