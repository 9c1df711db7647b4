"""Models: encode → recurrent → readout, and the unrolled form that gradient strategies see."""

from bptt.models.language import LanguageModel
from bptt.models.series import SeriesModel
from bptt.models.series_settings import SeriesSettings, series_settings
from bptt.models.settings import LanguageSettings
from bptt.models.unroll import Unroll

__all__ = ["LanguageModel", "LanguageSettings", "SeriesModel", "SeriesSettings", "Unroll", "series_settings"]
