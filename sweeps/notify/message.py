"""What is told: one event of a sweep, as JSON and as environment variables. docs/how-to/watching.md describes it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

Event = Literal["new_best", "ended", "interrupted", "failed"]

VERSION = 1
"""Of the JSON; raised when a field changes its meaning."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One event of a sweep."""

    event: Event
    sweep: str
    part: str
    """`search`, `replicates`, `ladder` or `retrain`."""
    text: str
    """All of it in a sentence."""
    time: float
    """Unix time in seconds."""
    host: str
    reason: str | None
    """Why the sweep stopped early: `error`, or a `StopReason` of sweeps/driver/stopping.py. None otherwise."""
    error: str | None
    """What to do about it, where there is more to say than the reason."""
    outcomes: dict[str, int]
    """Trials by how they ended, in all starts of the sweep."""
    trials_done: int
    trials_planned: int | None
    metric: str
    best: dict[str, Any] | None
    """Of a search, once a trial is complete: `trial`, `value`, `epochs`, `key` and `configuration`."""

    def as_json(self) -> bytes:
        return json.dumps({"version": VERSION, **vars(self)}, ensure_ascii=False).encode("utf-8")

    def environment(self) -> dict[str, str]:
        """Return the main fields as a command finds them; what there is nothing of is empty."""
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
        # A null byte, which a message of another library may hold, ends an environment variable.
        return {
            f"SWEEPS_{name}": "" if value is None else str(value).replace("\0", "") for name, value in values.items()
        }
