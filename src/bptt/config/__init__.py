"""The settings of a run as plain values: what a YAML file, the flags and config.yaml say, and the dataclasses they become."""

from bptt.config.baselines import BASELINES, Baseline, parse_baseline
from bptt.config.config import DEFAULT_CORPUS, Config, names_of, places_of
from bptt.config.file import read_yaml
from bptt.config.strategies import format_strategy, parse_strategy
from bptt.config.table import SETTINGS, Setting, known, normal
from bptt.config.text import TextSettings
from bptt.config.values import convert, plain

__all__ = [
    "BASELINES",
    "DEFAULT_CORPUS",
    "SETTINGS",
    "Baseline",
    "Config",
    "Setting",
    "TextSettings",
    "convert",
    "format_strategy",
    "known",
    "names_of",
    "normal",
    "parse_baseline",
    "parse_strategy",
    "places_of",
    "plain",
    "read_yaml",
]
