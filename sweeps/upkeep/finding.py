"""The result of a check: its findings, each with advice and an optional repair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding of a check."""

    text: str
    """Description and, for a problem, advice."""
    is_problem: bool = True
    """False for information that needs no action."""
    repair: Callable[[], str] | None = None
    """Repairs it and returns a message; None if it needs manual action. Raises `SweepError`, `UserError` or `OSError`
    if it fails."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of one check."""

    ok_text: str
    """Message if there is no problem: what was checked."""
    findings: Sequence[Finding] = field(default=())


def remark(text: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding(text=text, is_problem=False)
