"""`bptt forecast`: train a model on a series, judge it against the baselines, and forecast what comes."""

from __future__ import annotations

import argparse
import contextlib
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from bptt.cli.ending import say, visible
from bptt.cli.live import counting
from bptt.cli.output import emit, figure, table
from bptt.cli.parser import Parser, add_setting, run_flags
from bptt.cli.plugin import with_plugins
from bptt.cli.progress import display
from bptt.cli.resume import refuse_new
from bptt.cli.train import emit_event, gradient, print_config, refuse_existing, report
from bptt.config import read_yaml
from bptt.config.forecast import FORECAST_SETTINGS, OTHERS, ForecastConfig
from bptt.data.series import Series
from bptt.data.source import table_of
from bptt.errors import DivergedError, InputError, Interrupted
from bptt.forecasting import STEPS, Backtest, Curves, Forecast, Forecaster
from bptt.forecasting.backtest import k_steps, origins_of
from bptt.forecasting.fitted import training_steps
from bptt.forecasting.keeping import save
from bptt.forecasting.record import record
from bptt.forecasting.recurrent import Recurrent
from bptt.forecasting.table import METHODS
from bptt.training.directory import RunDirectory, as_json, as_yaml
from bptt.training.environment import environment
from bptt.training.fit import hold

GROUPS = {
    "series": "target time covariates known period missing",
    "forecast": "model horizon head anchor transform scale harmonics lags levels",
    "judging": "folds stride refit against valid",
    "network": "hidden_size layers dropout nonlinearity kernel_size loss",
    "output-to-hidden network": "teacher_forcing forcing_end forcing_schedule",
    "gradient through time": "gradient steps batch_size sampling block",
    "learning": "epochs optimizer lr momentum weight_decay schedule decay decay_every warmup clip patience seed",
    "machine": "device dtype threads save_every log_every tensorboard",
}
EXAMPLE = """
bptt forecast sine
bptt forecast demand.csv --target load --time ts --period 48 --horizon 48 --model gru
bptt forecast sales.csv --target units --model linear --horizon 12 --folds 8 --out runs/sales
bptt forecast sales.csv --target units --model output-to-hidden --head recursive --teacher-forcing 1 --forcing-end 0
"""


def parser() -> Parser:
    """The flags of `bptt forecast`."""
    about = "Forecast a series: train a model, judge it on the past beside the baselines, say what comes, and draw it all."
    made = Parser("forecast", about, EXAMPLE, "[SERIES]")
    made.add_argument(
        "series",
        nargs="?",
        metavar="SERIES",
        help="CSV or Parquet file, NAME for $BPTT_DATA/NAME.csv, or sine, the textbook's [sine]",
    )
    run = made.add_argument_group("run")
    run_flags(run, "runs/<series>-<model>-<number>", "events and results")
    for title, keys in GROUPS.items():
        group = made.add_argument_group(title)
        for key in keys.split():
            add_setting(group, gradient() if key == "gradient" else FORECAST_SETTINGS[key])
    return made


def run(args: argparse.Namespace) -> int:
    """Forecast; 0 once it is done."""
    strategies = with_plugins(args.plugin)
    config, out = opened(args, strategies)
    if args.print_config:
        print_config(config.to_flat(strategies))
        return 0
    series = config.table.read(config.series)
    for note in series.notes:
        say(f"bptt: note: {note}.")
    horizon, judge = config.forecast.horizon, config.judge
    if series.knowns and series.future < horizon:  # said at the end it would have cost a training
        given = f"{', '.join(series.knowns)}: {series.future} rows without a target at the end, horizon {horizon}"
        raise InputError("What is known beforehand does not reach to the end of the forecast", given, "Add rows with it")
    first = int(origins_of(series, horizon, judge.folds, judge.stride or horizon)[0])
    config = config.settled(training_steps(first, config.forecast.valid))
    forecaster = trained(args, config, series[:first], out, config.to_flat(strategies))
    names = [name for name in judge.against if name != judge.model]
    with working(f"backtest against {len(names)} baselines", args) as count:
        backtest = forecaster.backtest(
            series,
            horizon=horizon,
            folds=judge.folds,
            stride=judge.stride,
            refit=judge.refit,
            against=names,
            progress=progress(count, names, judge),
        )
    forecast = forecaster.predict(horizon, after=series)
    curves = {} if judge.refit else curves_of(backtest, series, first)
    write(out, forecaster, record(forecaster, series, backtest, curves, forecast), forecast)
    summary(args, out, report(out), backtest, curves, forecast)
    return 0


def opened(args: argparse.Namespace, strategies: Mapping[str, Any]) -> tuple[ForecastConfig, Path]:
    """The settings, new ones or those of a run that is resumed, and the run's place."""
    flags = {key: value for key, value in vars(args).items() if key in FORECAST_SETTINGS}
    if args.resume:
        given = {"SERIES": args.series, "--config": args.config, "--out": args.out, "--overwrite": args.overwrite}
        refuse_new("settings and place", {**given, **flags})
        saved = RunDirectory(args.resume).require().read_config()
        if "series" not in saved:
            raise InputError("This run is no forecast", args.resume, f"Resume it with bptt train --resume {args.resume}")
        saved["series"] = saved.get("series_at") or saved["series"]
        return ForecastConfig.from_flat(saved, strategies), Path(args.resume)
    flat = {**(read_yaml(args.config, FORECAST_SETTINGS, OTHERS) if args.config else {}), **flags}
    if args.series:
        flat["series"] = args.series
    config = ForecastConfig.from_flat(flat, strategies)
    out = Path(args.out) if args.out else free_place(config)
    if not args.print_config:
        refuse_existing(out, args.overwrite)
    return config, out


def trained(args: argparse.Namespace, config: ForecastConfig, series: Series, out: Path, flat: Mapping[str, Any]) -> Forecaster:
    """The model, fitted on everything before the backtest, and its run directory."""
    place = table_of(config.series)
    settings = {**flat, **({} if place is None else {"series_at": str(place.absolute())})}
    forecaster = config.forecaster
    if config.train.threads is not None:
        torch.set_num_threads(config.train.threads)
    if not issubclass(METHODS[config.judge.model], Recurrent):
        plain(forecaster, config, series, out, settings, overwrite=args.overwrite or bool(args.resume))
        return forecaster
    model = METHODS[config.judge.model](forecaster._how({}))
    assert isinstance(model, Recurrent)
    steps = training_steps(len(series), config.forecast.valid)
    heading = visible(f"{series.name}: {steps:,} steps for training, {len(series) - steps:,} for validation → {out}")
    listeners = [emit_event] if args.json else []
    try:
        with display(
            config.train, heading, steps - 1, quiet=args.quiet or args.json, measure=measure_of(config), unit="steps", pause=2.0
        ) as shown:
            how = {"resume": True} if args.resume else {"overwrite": args.overwrite, "config": settings}
            return forecaster.fit(series, out=out, listeners=[*listeners, shown], **how)
    except (Interrupted, DivergedError) as error:
        if isinstance(error, Interrupted):
            raise Interrupted(error.exit_code - 128, f"{error}; go on with bptt forecast --resume {out}") from error
        raise


def measure_of(config: ForecastConfig) -> Any:
    """What the training is judged by."""
    from bptt.models.series import LOSSES

    return LOSSES[config.given.get("loss", "squared")][1]


def plain(
    forecaster: Forecaster, config: ForecastConfig, series: Series, out: Path, flat: Mapping[str, Any], *, overwrite: bool
) -> None:
    """A model that is not trained through time, and a run directory without metrics and checkpoints."""
    forecaster.fit(series)
    directory = RunDirectory(out)
    with hold(directory, resume=False, overwrite=overwrite):
        directory.clear()
        directory.write("config.yaml", as_yaml(flat))
        directory.write(
            "env.json", as_json("env.json", environment(torch.device("cpu"), config.train.dtype, config.judge.model))
        )
        facts = {
            **series.facts,
            "train": forecaster.fitted.train,
            "valid": len(series) - forecaster.fitted.train,
            "period": series.period,
            "notes": list(series.notes),
        }
        directory.write("corpus.json", as_json("corpus.json", facts))


@contextlib.contextmanager
def working(name: str, args: argparse.Namespace) -> Iterator[Any]:
    """A bar while baselines are fitted, unless nobody wants to see it."""
    if args.quiet or args.json:
        yield lambda done, total: None
        return
    with counting(name) as count:
        yield count


def progress(count: Any, names: list[str], judge: Any) -> Any:
    """A function of (model, fits done) that keeps the bar."""
    order, each = [judge.model, *names], judge.folds if judge.refit else 1
    return lambda model, done: count(order.index(model) * each + done, len(order) * each)


def curves_of(backtest: Backtest, series: Series, first: int) -> dict[str, Curves]:
    """k steps ahead, as far as the model that was asked for can look, for all that can look as far.

    No k is so long that it leaves less than half of the test part to look at.
    """
    longest = backtest.models[0].fitted.method.longest() or max(STEPS)
    steps = [k for k in STEPS if k <= min(longest, max(1, (len(series) - first) // 2))]
    able = [model for model in backtest.models if max(steps) <= (model.fitted.method.longest() or max(STEPS))]
    return {model.name: k_steps(model.fitted, series, first, steps) for model in able}


def write(out: Path, forecaster: Forecaster, found: Mapping[str, Any], forecast: Forecast) -> None:
    """Everything that a forecast adds to its run directory."""
    from bptt.report.plots.forecast import draw_forecast

    directory = RunDirectory(out)
    save(forecaster, out)
    directory.write("forecast.json", as_json("forecast.json", found))
    directory.write("forecast.csv", forecast.to_csv())
    plots = out / "plots"
    plots.mkdir(exist_ok=True)
    draw_forecast(found, plots)


def summary(
    args: argparse.Namespace, out: Path, page: Path | None, backtest: Backtest, curves: Mapping[str, Curves], forecast: Forecast
) -> None:
    """The table, the first steps of the forecast, and where everything is."""
    rows = backtest.rows()
    if args.json:
        errors = {name: found.errors for name, found in curves.items()}
        emit(
            {
                "event": "forecast",
                "path": str(out),
                "report": str(page) if page else None,
                "backtest": rows,
                "by_target": backtest.by_target(),
                "ahead": errors,
                "forecast": forecast.rows(),
            }
        )
        return
    if args.quiet:
        print(out)
        return
    own, targets = backtest.models[0].name, backtest.by_target()
    print(columns(named(rows, "all targets") if targets else rows, own))
    for name, each in targets.items():
        print("\n" + columns(named(each, visible(name)), own))
    if curves:
        steps = next(iter(curves.values())).steps
        print(
            "\n"
            + columns(
                [{"RMSE, k steps ahead": name, **{f"k={k}": c.errors[k] for k in steps}} for name, c in curves.items()],
                own,
            )
        )
    for note in forecast.notes:
        say(f"bptt: note: {note}.")
    place = shlex.quote(str(out))
    print()
    print(
        table(
            [
                ("forecast", str(out / "forecast.csv")),
                ("plots", str(out / "plots")),
                ("run", place),
                ("report", str(page or "not written")),
            ],
            0,
        )
    )


def named(rows: list[dict[str, Any]], what: str) -> list[dict[str, Any]]:
    """Rows whose first column says what they are about."""
    return [{what if head == "model" else head: value for head, value in row.items()} for row in rows]


def columns(rows: list[dict[str, Any]], own: str) -> str:
    """Dicts of figures as a table, the model that was asked for with a mark."""
    heads = list(rows[0])
    lines = [
        heads,
        *(
            [
                f"{row[heads[0]]} *" if row[heads[0]] == own else str(row[heads[0]]),
                *(shown(name, row[name]) for name in heads[1:]),
            ]
            for row in rows
        ),
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    return "\n".join(
        "  ".join(text.ljust(widths[0]) if i == 0 else text.rjust(widths[i]) for i, text in enumerate(line)) for line in lines
    )


def shown(name: str, value: float) -> str:
    """A figure; a coverage in percent."""
    return f"{value:.0%}" if name.startswith("coverage") and value == value else figure(value)


def free_place(config: ForecastConfig) -> Path:
    """runs/<series>-<model>-<number>, with the first number that is free."""
    name = (
        "".join(char if char.isalnum() or char in "._-" else "-" for char in Path(config.series).stem).strip(".-") or "series"
    )
    number = 1
    while (place := Path("runs") / f"{name}-{config.judge.model}-{number}").exists():
        number += 1
    return place
