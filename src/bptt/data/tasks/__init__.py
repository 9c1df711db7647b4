"""Synthetic tasks whose best possible loss is known in closed form: what a model has learnt can be read off its loss.

Knows draws, floors and streams; must not know models, gradients or training.
"""

from bptt.data.tasks.adding import Adding
from bptt.data.tasks.anbn import AnBn
from bptt.data.tasks.brackets import Brackets
from bptt.data.tasks.coin import Coin
from bptt.data.tasks.copying import Copy
from bptt.data.tasks.parts import TaskNumbers, TaskTokens
from bptt.data.tasks.read import TASKS, format_task, is_task, parse_task, read_task
from bptt.data.tasks.stream import TaskStream
from bptt.data.tasks.task import Drawn, Task, TokenTask

__all__ = [
    "TASKS",
    "Adding",
    "AnBn",
    "Brackets",
    "Coin",
    "Copy",
    "Drawn",
    "Task",
    "TaskNumbers",
    "TaskStream",
    "TaskTokens",
    "TokenTask",
    "format_task",
    "is_task",
    "parse_task",
    "read_task",
]
