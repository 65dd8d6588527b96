"""The message of a notification, as JSON and as environment variables. docs/how-to/watching.md describes it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

Event = Literal["new_best", "ended", "interrupted", "failed"]

VERSION = 1
"""Version of the JSON, increased when a field changes its meaning."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One event of a sweep."""

    event: Event
    sweep: str
    part: str
    """`search`, `replicates`, `ladder`, `retrain` or `judge`."""
    text: str
    """The event in one sentence."""
    time: float
    """Unix time in seconds."""
    host: str
    reason: str | None
    """Why the sweep stopped early: `error`, or a `StopReason` of sweeps/driver/stopping.py. None otherwise."""
    error: str | None
    """Details and advice."""
    outcomes: dict[str, int]
    """Outcome → number of trials, in all starts of the sweep."""
    trials_done: int
    trials_planned: int | None
    metric: str
    best: dict[str, Any] | None
    """For a search with a complete trial: `trial`, `value`, `epochs`, `key` and `configuration`."""

    def as_json(self) -> bytes:
        return json.dumps({"version": VERSION, **vars(self)}, ensure_ascii=False).encode("utf-8")

    def environment(self) -> dict[str, str]:
        """Return the main fields as environment variables for a command; a missing value is empty."""
        best = self.best or {}
        values = {
            "EVENT": self.event,
            "SWEEP": self.sweep,
            "PART": self.part,
            "TEXT": self.text,
            "REASON": self.reason,
            "ERROR": self.error,
            "METRIC": self.metric,
            "BEST_TRIAL": best.get("trial"),
            "BEST_VALUE": best.get("value"),
        }
        # Environment variables must not contain null bytes, which error messages of libraries may.
        return {
            f"SWEEPS_{name}": "" if value is None else str(value).replace("\0", "") for name, value in values.items()
        }
