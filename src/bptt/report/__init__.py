"""One self-contained HTML page on a run, a comparison, or a text that was counted.

Knows the files of a run directory and what else is told as JSON; must not know models, training or the command line.
"""

from bptt.report.baselines import write_baselines
from bptt.report.page import write_comparison, write_report
from bptt.report.run import Run, read_run
from bptt.report.sections import SECTIONS, Section
from bptt.report.statistics import write_statistics

__all__ = ["SECTIONS", "Run", "Section", "read_run", "write_baselines", "write_comparison", "write_report", "write_statistics"]
