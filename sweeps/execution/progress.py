"""What a person sees while a sweep runs: one live line a trial on a terminal, plain lines elsewhere. Only drawing."""

from __future__ import annotations

import itertools
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from sweeps.formatting import OUTCOME_STYLES, describe, duration, log_path, metric_text
from sweeps.study import SweepState
from sweeps.trial_record import Outcome, TrialRecord

PLAIN_SECONDS = 30
"""Least time between two lines about trials that are under way, where there is no terminal."""

BAR_WIDTH = 20
"""Characters of the bar that shows how many of its epochs a trial has done."""


class Progress(Protocol):
    """Is told of every change of every trial."""

    def update(self, record: TrialRecord) -> None: ...


def headline(state: SweepState) -> str:
    """Return how far a running sweep is, its best trial and the time left."""
    parts = [f"{state.done}" + (f" of {state.target}" if state.target is not None else "") + " trials done"]
    best = state.best()
    if best is not None:
        value = metric_text(state.metric, state.value(best))
        parts.append(f"best {state.metric} {value} ({best.name}, {describe(best.config)})")
    left = state.seconds_left()
    if left is not None and state.done != state.target:
        parts.append(f"about {duration(left)} left")
    return ", ".join(parts)


def trial_line(record: TrialRecord, state: SweepState) -> str:
    """Return what is worth saying of one trial."""
    value = f", {state.metric} {metric_text(state.metric, state.value(record))}" if record.epochs else ""
    reused = ", taken over from an earlier run" if record.reused_from else ""
    why = f": {record.error} (log: {log_path(record.log, state.runs)})" if record.error else ""
    return (
        f"{record.name} {record.outcome} after {len(record.epochs)} of {record.config.epochs} epochs{value} "
        f"({_configuration(record)}){reused}{why}"
    )


def _configuration(record: TrialRecord) -> str:
    # A ladder's runs of one rung differ in nothing else; a search's all have the same seed.
    return describe(record.config) + (f", seed {record.config.seed}" if record.rung else "")


def running_lines(records: Sequence[TrialRecord], state: SweepState, *, width: int, height: int) -> list[str]:
    """Return how far the running trials are, what changes most first.

    Nothing of a line is cut: what is too long goes on below it. A bar stands at the end where there is room for it
    in every line, and the trials for which the screen is too low are counted.
    """
    rows = [
        (
            record.name,
            f"{len(record.epochs)}/{record.config.epochs}",
            metric_text(state.metric, state.value(record)),
            duration(time.time() - record.started),
            _configuration(record),
        )
        for record in records
    ]
    columns = [column for column in zip(*rows, strict=True) if any(column)]
    aligned = [[cell.ljust(max(map(len, column))) for cell in column] for column in columns]
    lines = ["  ".join(cells) for cells in zip(*aligned, strict=True)]
    if all(len(line) + 2 + BAR_WIDTH <= width for line in lines):
        lines = [f"{line}  {_bar(record)}" for line, record in zip(lines, records, strict=True)]
    wrapped = [textwrap.wrap(line, width, subsequent_indent="  ", break_on_hyphens=False) for line in lines]
    ends = list(itertools.accumulate(map(len, wrapped)))
    if not ends or ends[-1] <= height:
        return list(itertools.chain.from_iterable(wrapped))
    shown = sum(end < height for end in ends)
    return [*itertools.chain.from_iterable(wrapped[:shown]), f"and {len(wrapped) - shown} more"]


def _bar(record: TrialRecord) -> str:
    done = BAR_WIDTH * len(record.epochs) // record.config.epochs
    return "━" * done + "─" * (BAR_WIDTH - done)


class PlainProgress:
    """Lines for a file or a pipe: each trial's end, and now and then how far the others are."""

    def __init__(self, console: Console, state: SweepState) -> None:
        self._console, self._state = console, state
        self._last = time.monotonic()

    def update(self, record: TrialRecord) -> None:
        if self._state.enter(record):
            self._print(trial_line(record, self._state))
        elif time.monotonic() - self._last > PLAIN_SECONDS and record.epochs:
            self._print(headline(self._state))

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, markup=False)
        self._last = time.monotonic()


class LiveProgress:
    """A table that redraws itself: a line for each running trial, the finished ones scroll by above it.

    It draws from the state alone, which holds plain records: the ledger is never read from the drawing thread.
    """

    def __init__(self, console: Console, state: SweepState, *, prints_through: bool = False) -> None:
        """Draw nothing yet. `prints_through`: show what others print above the table, where no file takes it."""
        self._console, self._state = console, state
        self._lock = threading.Lock()
        self._live = Live(
            get_renderable=self._draw,
            console=console,
            refresh_per_second=2,
            transient=True,
            # Under Ray others print into a file (`redirect_output`); caught here it would come to the terminal.
            redirect_stdout=prints_through,
            redirect_stderr=prints_through,
        )

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def update(self, record: TrialRecord) -> None:
        with self._lock:
            line = trial_line(record, self._state) if self._state.enter(record) else None
        if line is not None:
            self._console.print(Text(line, style=OUTCOME_STYLES[record.outcome]))

    def _draw(self) -> Text:
        with self._lock:
            running = [record for record in self._state.records if record.outcome is Outcome.RUNNING]
            summary = headline(self._state)
        width = self._console.width
        below = textwrap.wrap(summary, width)
        above = running_lines(running, self._state, width=width, height=self._console.height - len(below) - 1)
        return Text("\n").join([*map(Text, above), *(Text(line, style="bold") for line in below)])


@contextmanager
def show_progress(console: Console, state: SweepState, *, prints_through: bool) -> Iterator[Progress]:
    """Yield what suits the console; see `LiveProgress`."""
    if console.is_terminal:
        with LiveProgress(console, state, prints_through=prints_through) as live:
            yield live
    else:
        yield PlainProgress(console, state)
