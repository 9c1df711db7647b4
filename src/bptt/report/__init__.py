"""One self-contained HTML page on a run.

Knows the files of a run directory; must not know models, training or the command line.
"""

from bptt.report.page import write_comparison, write_report
from bptt.report.run import Run, read_run
from bptt.report.sections import SECTIONS, Section
from bptt.report.statistics import write_statistics

__all__ = ["SECTIONS", "Run", "Section", "read_run", "write_comparison", "write_report", "write_statistics"]
