"""What to cite for a strategy."""

from __future__ import annotations

from typing import Any

from bptt.errors import ContractError
from bptt.types import Strategy


def citation(strategy: Strategy | type[Any]) -> str:
    """The BibTeX of a strategy, for a paper that used it.

    Arguments: strategy, a value or its class. Raises ContractError for something that names no reference.

    >>> import bptt
    >>> print(citation(bptt.Truncated).splitlines()[0])
    @article{williams1990efficient,
    """
    reference = getattr(strategy, "reference", None)
    if not isinstance(reference, str):
        raise ContractError("This is no gradient strategy", repr(strategy), "Give one, for example bptt.Truncated(64)")
    return reference
