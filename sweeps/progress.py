"""What a person sees while a sweep runs: one live line a trial on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweeps.records import Outcome, TrialRecord

PLAIN_SECONDS = 30
"""Least time between two lines about trials that are under way, where there is no terminal."""

STYLES = {
    Outcome.COMPLETE: "green",
    Outcome.PRUNED: "yellow",
    Outcome.DIVERGED: "magenta",
    Outcome.FAILED: "red",
    Outcome.INTERRUPTED: "dim",
    Outcome.RUNNING: "cyan",
}


class Progress(Protocol):
    """Hears every change of every trial."""

    def update(self, record: TrialRecord) -> None: ...


@contextmanager
def terminal_copy() -> Iterator[Console]:
    """Yield a console on a copy of standard output, which stays on the terminal when the original is redirected."""
    sys.stdout.flush()
    try:
        copy = os.dup(sys.stdout.fileno())
    except OSError:
        # A notebook's or a test's standard output has no file behind it, and is not redirected either.
        yield Console(width=110, highlight=False, file=sys.stdout)
        return
    with os.fdopen(copy, "w", encoding="utf-8", buffering=1) as stream:
        terminal = stream.isatty()
        yield Console(file=stream, width=None if terminal else 110, highlight=False)


def percent(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"


def duration(seconds: float) -> str:
    """Return `45 s`, `12 min`, `3 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"


class Standing:
    """The state of a sweep as its records tell it: how many are done, the best so far, the time left."""

    def __init__(self, *, metric: str, maximize: bool, target: Callable[[], int | None], slots: int) -> None:
        self.records: dict[int, TrialRecord] = {}
        self._metric = metric
        self._sign = 1 if maximize else -1
        self._target = target
        self._slots = slots
        self._began = time.time()
        self._already_done: set[int] = set()

    def known(self, records: list[TrialRecord]) -> None:
        """Take note of what was there before this start."""
        for record in records:
            self.records[record.number] = record
            if record.outcome.is_final:
                self._already_done.add(record.number)

    def enter(self, record: TrialRecord) -> bool:
        """Take note of a change; return whether it is the trial's end (what follows, such as its test, is not)."""
        before = self.records.get(record.number)
        self.records[record.number] = record
        return record.outcome.is_final and (before is None or not before.outcome.is_final)

    def value(self, record: TrialRecord) -> float | None:
        value = getattr(record.epochs[-1], self._metric) if record.epochs else None
        return None if value is None else float(value)

    def best(self) -> TrialRecord | None:
        complete = [r for r in self.records.values() if r.outcome is Outcome.COMPLETE and self.value(r) is not None]
        return max(complete, key=lambda record: self._sign * (self.value(record) or 0.0), default=None)

    @property
    def done(self) -> int:
        return sum(record.outcome.is_final for record in self.records.values())

    @property
    def target(self) -> int | None:
        return self._target()

    def seconds_left(self) -> float | None:
        """Return the estimated seconds to the end, None before anything finished."""
        target, fresh = self.target, self.done - len(self._already_done)
        if target is None or fresh < max(2, self._slots):
            return None
        return (time.time() - self._began) / fresh * (target - self.done)

    def headline(self) -> str:
        target = self.target
        parts = [f"{self.done}" + (f" of {target}" if target is not None else "") + " trials done"]
        best = self.best()
        if best is not None:
            parts.append(f"best {self._metric} {self._shown(best)} (trial {best.number}, {describe(best)})")
        left = self.seconds_left()
        if left is not None and self.done != target:
            parts.append(f"about {duration(left)} left")
        return ", ".join(parts)

    def _shown(self, record: TrialRecord) -> str:
        value = self.value(record)
        assert value is not None
        return percent(value) if self._metric.endswith("accuracy") else f"{value:.4f}"

    def line(self, record: TrialRecord) -> str:
        """Return what is worth saying of one trial."""
        name = record.rung or f"trial {record.number}"
        value = f", {self._metric} {self._shown(record)}" if record.epochs else ""
        reused = ", taken over from an earlier run" if record.reused_from else ""
        why = f": {record.error} (log: {record.log})" if record.error else ""
        return (
            f"{name} {record.outcome} after {len(record.epochs)} of {record.config.epochs} epochs{value} "
            f"({describe(record)}){reused}{why}"
        )


def describe(record: TrialRecord) -> str:
    """Return the configuration's most telling values in a few words."""
    config = record.config
    width = config.model.arguments().get("width")
    return (
        f"{config.model.name}{'' if width is None else f' {width}'}, batch {config.data.batch_size}, "
        f"lr {config.optimizer.lr:.3g}"
    )


class PlainProgress:
    """Lines for a file or a pipe: each trial's end, and now and then how far the others are."""

    def __init__(self, console: Console, standing: Standing) -> None:
        self._console, self._standing = console, standing
        self._last = time.monotonic()

    def update(self, record: TrialRecord) -> None:
        if self._standing.enter(record):
            self._console.print(self._standing.line(record), soft_wrap=True, markup=False)
            self._last = time.monotonic()
        elif time.monotonic() - self._last > PLAIN_SECONDS and record.epochs:
            self._console.print(self._standing.headline(), soft_wrap=True, markup=False)
            self._last = time.monotonic()


class LiveProgress:
    """A table that redraws itself: a line for each running trial, the finished ones scroll by above it."""

    def __init__(self, console: Console, standing: Standing) -> None:
        self._standing = standing
        self._lock = threading.Lock()
        self._live = Live(get_renderable=self._draw, console=console, refresh_per_second=2, transient=True)
        self._console = console

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def update(self, record: TrialRecord) -> None:
        with self._lock:
            ended = self._standing.enter(record)
        if ended:
            style = STYLES[record.outcome]
            self._console.print(Text(self._standing.line(record), style=style, overflow="ellipsis", no_wrap=True))

    def _draw(self) -> Group:
        with self._lock:
            running = [r for r in self._standing.records.values() if r.outcome is Outcome.RUNNING]
            headline = self._standing.headline()
        table = Table.grid(padding=(0, 2))
        for record in running:
            done, epochs = len(record.epochs), record.config.epochs
            value = self._standing.value(record)
            table.add_row(
                record.rung or f"trial {record.number}",
                describe(record),
                ProgressBar(total=epochs, completed=done, width=20),
                f"{done}/{epochs}",
                "" if value is None else f"{value:.4f}",
                duration(time.time() - record.started),
            )
        return Group(table, Text(headline, style="bold"))


@contextmanager
def show_progress(console: Console, standing: Standing) -> Iterator[Progress]:
    """Yield what suits the console."""
    if console.is_terminal:
        with LiveProgress(console, standing) as live:
            yield live
    else:
        yield PlainProgress(console, standing)
