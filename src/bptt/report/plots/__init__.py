"""Pictures that are asked for as files, SVG or PNG, by matplotlib.

Knows measurements and figures; must not know runs, terminals or pyplot's global state.
"""

from bptt.report.plots.baselines import draw_baselines
from bptt.report.plots.credit import draw_credit, draw_cuts
from bptt.report.plots.diagnosis import draw_diagnosis
from bptt.report.plots.picture import picture, picture_path
from bptt.report.plots.statistics import draw_statistics

__all__ = ["draw_baselines", "draw_credit", "draw_cuts", "draw_diagnosis", "draw_statistics", "picture", "picture_path"]
