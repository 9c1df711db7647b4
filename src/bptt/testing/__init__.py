"""Contract checks that anybody can call on their own cells, strategies and streams; here they are called on ours."""

from bptt.testing.cells import check_cell
from bptt.testing.strategies import check_strategy
from bptt.testing.streams import check_stream

__all__ = ["check_cell", "check_strategy", "check_stream"]
