"""Show the progress of a sweep: a live view on a terminal or in a notebook, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.text import Text

from sweeps.core.formatting import OUTCOME_STYLES, duration, log_path, metric_text, print_sentence
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.search.state import Measuring, SweepState
from sweeps.system.output import is_notebook
from sweeps.tasks.registry import describe
from sweeps.views.live.controls import Commands, Controls
from sweeps.views.live.live_state import Watcher
from sweeps.views.live.notebook import NotebookScreen
from sweeps.views.live.screen import Screen

PLAIN_SECONDS = 30
"""Minimum interval between two lines about running trials without a terminal."""


class Progress(Protocol):
    """Receives every change of a trial."""

    def on_change(self, record: TrialRecord) -> None: ...


def headline(state: SweepState) -> str:
    """Return the number of done trials, the best trial and the remaining time of a running sweep."""
    parts = ["paused"] if state.is_paused else []
    parts += [f"{state.done}" + (f" of {state.target}" if state.target is not None else "") + " trials done"]
    best = state.best()
    if best is not None:
        value = metric_text(state.metric, state.value(best))
        parts.append(f"best {state.metric} {value} ({best.name}, {describe(best.config)})")
    if state.measuring is not None:
        parts.append(str(state.measuring))
    if state.time_left is not None:
        parts.append(state.time_left.text(time.time()))
    left = state.seconds_left() if state.time_left is None else None
    if left is not None and (state.measuring is not None or state.done != state.target):
        parts.append(f"about {duration(left)} left")
    return ", ".join(parts)


def trial_line(record: TrialRecord, state: SweepState) -> str:
    """Return a line about the end of a trial."""
    value = f", {state.metric} {metric_text(state.metric, state.value(record))}" if record.epochs else ""
    reused = ", reused from an earlier run" if record.reused_from else ""
    reused += ", skipped by a person" if record.skipped else ""
    why = f": {record.error} (log: {log_path(record.log, state.runs)})" if record.error else ""
    return (
        f"{record.name} {record.outcome} after {record.epochs_text} epochs{value} "
        f"({_configuration(record)}){reused}{why}"
    )


def _configuration(record: TrialRecord) -> str:
    # Runs of one rung only differ in the seed. In a search all have the same seed.
    return describe(record.config) + (f", seed {record.config.seed}" if record.rung else "")


class PlainProgress:
    """Prints lines to a file or a pipe: the end of each trial, and the progress every `PLAIN_SECONDS`."""

    def __init__(self, console: Console, state: SweepState) -> None:
        self._console, self._state = console, state
        self._last = time.monotonic()

    def on_change(self, record: TrialRecord) -> None:
        before = self._state.measuring
        ended = self._state.enter(record)
        if ended:
            self._print(trial_line(record, self._state))
        if record.test is not None and before is not None:
            self._print(self._measured_line(record, before))
        elif self._state.measuring is not None and before is None:
            self._print(str(self._state.measuring))
        elif not ended and time.monotonic() - self._last > PLAIN_SECONDS and record.epochs:
            trained = f"{record.name} after {record.epochs_text} epochs"
            self._print(f"{headline(self._state)}; {trained}")

    def _measured_line(self, record: TrialRecord, before: Measuring) -> str:
        assert record.test is not None
        seed = f", seed {record.config.seed}"
        # The last measurement ends the phase, so that the state has no counts any more.
        now = self._state.measuring or Measuring(done=before.of, of=before.of)
        name, value = next(iter(record.test.recorded.items()))
        return f"{now} ({record.name}{seed}: {metric_text(name, value)})"

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, markup=False)
        self._last = time.monotonic()


@dataclass(frozen=True, kw_only=True)
class ViewKeys:
    """What the keys of a live view do."""

    commands: Commands
    leave: Callable[[], str]
    """Called by `q`; returns what is shown then."""


class LiveProgress:
    """A live view on the terminal, with failures printed above it.

    The drawing thread only reads the state, which consists of plain records, never the ledger. There is no lock between
    the two threads, because the handler of Ctrl-C may print at any time.
    """

    def __init__(
        self, console: Console, state: SweepState, *, prints_through: bool = False, keys: ViewKeys | None = None
    ) -> None:
        """Create the view.

        Args:
            console: the terminal.
            state: of the sweep; updated here.
            prints_through: whether to show other output above the view.
            keys: what the keys of the terminal do; None if it takes none.
        """
        self._console, self._state = console, state
        live_state = Watcher(state).live_state
        self._controls = None if keys is None else Controls(live_state, keys.commands, leave=keys.leave)
        shown = live_state if self._controls is None else self._controls.live_state
        self._screen = Screen(console, shown, prints_through=prints_through)

    def __enter__(self) -> LiveProgress:
        self._screen.__enter__()
        if self._controls is not None:
            self._controls.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._controls is not None:
            self._controls.__exit__(*exception)
        self._screen.__exit__(*exception)

    def on_change(self, record: TrialRecord) -> None:
        if self._state.enter(record) and record.outcome is Outcome.FAILED:
            self._console.print(Text(trial_line(record, self._state), style=OUTCOME_STYLES[record.outcome]))


class NotebookProgress:
    """A live view below a notebook's cell."""

    def __init__(self, state: SweepState) -> None:
        self._state = state
        self._screen = NotebookScreen(Watcher(state).live_state)

    def __enter__(self) -> NotebookProgress:
        self._screen.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._screen.__exit__(*exception)

    def on_change(self, record: TrialRecord) -> None:
        self._state.enter(record)


class FirstWarning:
    """Prints the first warning of a trial. The others are in the logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._has_warned = False

    def on_change(self, record: TrialRecord) -> None:
        if record.warning is not None and not self._has_warned:
            self._has_warned = True
            print_sentence(self._console, f"warning: {record.name}: {record.warning}")


def redraws(console: Console) -> bool:
    """Return whether a console is a terminal that can redraw."""
    return console.is_terminal and not console.is_dumb_terminal


@contextmanager
def show_progress(
    console: Console, state: SweepState, *, prints_through: bool, keys: ViewKeys | None = None
) -> Iterator[Progress]:
    """Yield the progress view for the console; see `LiveProgress` for `prints_through` and `keys`."""
    if redraws(console):
        with LiveProgress(console, state, prints_through=prints_through, keys=keys) as progress:
            yield progress
    elif is_notebook():
        with NotebookProgress(state) as below:
            yield below
    else:
        yield PlainProgress(console, state)
