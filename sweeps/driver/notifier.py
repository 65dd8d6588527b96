"""Send notifications of new bests and of the end of a sweep, with a thread per target."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from cifar_core.common.errors import UserError
from sweeps.core.errors import SweepError
from sweeps.core.formatting import metric_text
from sweeps.core.identity import trial_name
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.driver.stopping import REASON_TEXTS
from sweeps.notify.message import Event, Message
from sweeps.notify.targets.target import NotificationError, Target
from sweeps.search.state import SweepState
from sweeps.tasks.registry import describe

END_SECONDS = 5.0
"""Total time that the end of a sweep waits for all targets."""
BEST_SECONDS = 10.0
"""Minimum interval between two new bests for one target."""


class Notifier:
    """Notifies targets of one start of a sweep. Leaving the context sends the end.

    Args:
        targets: the receivers.
        state: of the sweep; updated here.
        part: `search`, the only one with new bests, `replicates`, `ladder`, `retrain` or `judge`.
        print_line: prints a line on the console.
    """

    def __init__(
        self, targets: Sequence[Target], state: SweepState, *, part: str, print_line: Callable[[str], None]
    ) -> None:
        self._state = state
        self._part = part
        self._best = state.best()
        self._senders = [_Sender(target, print_line) for target in targets]
        self._end: Event = "ended"
        self._reason: str | None = None
        self._error: str | None = None

    def __enter__(self) -> Notifier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, KeyboardInterrupt):
            self.ends("signal")
        elif error is not None:
            self.ends("error", str(error) if isinstance(error, SweepError | UserError) else type(error).__name__)
        self.close()

    def on_change(self, record: TrialRecord) -> None:
        """Process a trial's change. Only a best that replaces another one is sent."""
        self._state.enter(record)
        if self._part != "search" or record.outcome is not Outcome.COMPLETE:
            return
        before, self._best = self._best, self._state.best()
        if before is None or self._best is None or self._best.number == before.number:
            return
        for sender in self._senders:
            sender.inbox.put(message_of("new_best", self._state, part=self._part))

    def ends(self, reason: str | None, details: str = "") -> None:
        """Set the reason of the end; None if the sweep is done."""
        self._reason, self._error = reason, details or None
        if reason is not None:
            self._end = "interrupted" if reason in ("signal", "timeout") else "failed"

    def close(self) -> None:
        """Send the end, and wait for at most `END_SECONDS`. A second call has no effect."""
        if not self._senders:
            return
        last = message_of(self._end, self._state, part=self._part, reason=self._reason, error=self._error)
        senders, self._senders = self._senders, []
        deadline = time.monotonic() + END_SECONDS
        for sender in senders:
            sender.inbox.put(last)
            sender.closing.set()
        for sender in senders:
            sender.join(max(0.0, deadline - time.monotonic()))
            if sender.is_alive():
                sender.fail(f"no answer within {END_SECONDS:.0f} s at the end of the sweep")
            sender.is_quiet = True


class _Sender(threading.Thread):
    """Sends the latest message of its inbox to one target, until the message of the end."""

    def __init__(self, target: Target, print_line: Callable[[str], None]) -> None:
        super().__init__(name=f"notify {target.label}", daemon=True)
        self._target = target
        self._print_line = print_line
        self.inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.closing = threading.Event()
        self.is_quiet = False
        """Whether further failures are not printed."""
        self.start()

    def run(self) -> None:
        while True:
            message = self.inbox.get()
            while not self.inbox.empty():
                message = self.inbox.get()
            try:
                self._target.send(message)
            except NotificationError as error:
                self.fail(str(error))
            except Exception as error:  # a thread must not print a traceback
                self.fail(type(error).__name__)
            if message.event != "new_best":
                return
            self.closing.wait(BEST_SECONDS)

    def fail(self, reason: str) -> None:
        """Print the first failure."""
        if not self.is_quiet:
            self.is_quiet = True
            self._print_line(f"warning: the notification to {self._target.label} failed: {reason} (shown once)")


def message_of(
    event: Event, state: SweepState, *, part: str, reason: str | None = None, error: str | None = None
) -> Message:
    """Return the notification of an event for the current state of a sweep."""
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
    why = "" if reason is None else f" ({REASON_TEXTS.get(reason, reason)})"
    return f"{title} {event}{why}: {counts or 'no trial'}, {done}" + (f", best {found}" if found else "")
