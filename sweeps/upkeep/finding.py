"""What a check says: that all is well, or what is not, what to do about it, and how it is mended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a check found."""

    text: str
    """What it is and, of a problem, what to do."""
    is_problem: bool = True
    """False for what is well to know and wants nothing done."""
    mend: Callable[[], str] | None = None
    """Puts it right and returns what was done, in words; None where only a person can. Raises `SweepError`,
    `UserError` or `OSError` where it cannot."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one check found."""

    well: str
    """What is said where nothing is a problem: what was looked at."""
    findings: Sequence[Finding] = field(default=())


def remark(text: str) -> Finding:
    """Return what is well to know and wants nothing done."""
    return Finding(text=text, is_problem=False)
