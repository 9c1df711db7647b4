"""Series: numbers over time, from a table to windows.

    file | frame | array ──table──▶ columns ──read──▶ Series ──scaling──▶ SeriesPart ──stream──▶ Window

Knows numbers, times and positions; must not know models, gradients or training.
"""

from bptt.data.series.part import SeriesData, SeriesPart, SeriesStream
from bptt.data.series.read import read_series
from bptt.data.series.scaling import SCALES, TRANSFORMS, Scaling
from bptt.data.series.series import FILLS, Series
from bptt.data.series.sine import sine

__all__ = [
    "FILLS",
    "SCALES",
    "TRANSFORMS",
    "Scaling",
    "Series",
    "SeriesData",
    "SeriesPart",
    "SeriesStream",
    "read_series",
    "sine",
]
