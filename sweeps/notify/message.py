"""What is told: one event of a sweep, as JSON and as environment variables. docs/watching.md describes it."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from typing import Any, Literal

from sweeps.formatting import describe, metric_text
from sweeps.identity import trial_name
from sweeps.study.state import SweepState
from sweeps.trial_record import TrialRecord

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
    """Of an end before the end: `signal`, `timeout`, `disk full`, `failing` or `error`."""
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


def message_of(
    event: Event, state: SweepState, *, part: str, reason: str | None = None, error: str | None = None
) -> Message:
    """Return what is told of a sweep as it stands."""
    best = state.best() if part == "search" else None
    return Message(
        event=event,
        sweep=state.sweep,
        part=part,
        text=_sentence(event, state, part=part, best=best, reason=reason),
        time=round(time.time(), 3),
        host=socket.gethostname(),
        reason=reason,
        error=error,
        outcomes={outcome.value: count for outcome, count in sorted(state.counts().items())},
        trials_done=state.done,
        trials_planned=state.target,
        metric=state.metric,
        best=None if best is None else _best(best, state),
    )


def _best(record: TrialRecord, state: SweepState) -> dict[str, Any]:
    return {
        "trial": trial_name(record.sweep, record.trial),
        "value": state.best_value(),
        "epochs": len(record.epochs),
        "key": record.key,
        "configuration": record.config.dotted(),
    }


def _sentence(event: Event, state: SweepState, *, part: str, best: TrialRecord | None, reason: str | None) -> str:
    title = state.sweep if part == "search" else f"{state.sweep} ({part})"
    found = ""
    if best is not None:
        name = trial_name(best.sweep, best.trial)
        found = f"{state.metric} {metric_text(state.metric, state.best_value())} ({name}, {describe(best.config)})"
    done = f"{state.done}" + ("" if state.target is None else f" of {state.target}") + " trials done"
    if event == "new_best":
        return f"{title}: new best {found}, {done}"
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(state.counts().items()))
    why = "" if reason is None else f" ({reason})"
    return f"{title} {event}{why}: {counts or 'no trial'}, {done}" + (f", best {found}" if found else "")
