"""Settings and time of a race of the best configurations of a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class RaceState:
    """The settings of a race (`confirm` in a sweep file) and its time."""

    top: int
    until: float
    at_most: float
    """Seconds."""
    examples: int
    """Examples of its confirmation part; 0 without one."""
    spent: float = 0.0
    """Seconds of all starts."""
    ended: float = 0.0
    """The largest `at_most` that was used up."""

    @property
    def is_used_up(self) -> bool:
        """Whether no further run fits into its time."""
        return self.ended >= self.at_most

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """Return a state that was stored as JSON."""
        return cls(**stored)
