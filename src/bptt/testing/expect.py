"""One way to say that a contract is broken."""

from __future__ import annotations

from bptt.errors import ContractError


def expect(kept: bool, wrong: str, given: str, see: str) -> None:
    """ContractError unless `kept`: what is wrong, what was found, and the function whose docstring says what is promised."""
    if not kept:
        raise ContractError(wrong, given, f"See bptt.testing.{see} for what is promised")
