"""`sweeps status --watch`: show a running sweep from the files on the disk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from sweeps.search.state import SweepState


def watch(runs: Path, sweep: str, console: Console, *, seconds: float) -> None:
    """Show a sweep until its driver ends, then its final state.

    Without a terminal, a line is printed whenever the counts change.
    """
    from sweeps._api.live_commands import LiveCommands
    from sweeps.views.live.controls import Controls
    from sweeps.views.live.live_state import Watcher
    from sweeps.views.live.screen import Screen
    from sweeps.views.status import headline, print_status

    left = Event()
    states = _states(runs, sweep, seconds=seconds, left=left)
    state = next(states)
    if state.driver is not None and console.is_terminal and not console.is_dumb_terminal:
        watcher = Watcher(state.active_part())
        controls = Controls(
            lambda: watcher.live_state(), LiveCommands(sweep, runs=runs), leave=lambda: _ask_to_leave(left)
        )
        with Screen(console, controls.live_state, prints_through=True), controls:
            for state in states:
                if left.is_set():
                    break
                if watcher.state.part != state.part:
                    watcher = Watcher(state.active_part())
                watcher.state = state.active_part()
    elif state.driver is not None:
        printed = ""
        for state in states:
            counts = headline(state).partition("; last epoch")[0]
            if counts != printed:
                click.echo(counts)
                printed = counts
    print_status(state, console)
    if state.died:
        how = "does not answer any more" if state.last_heartbeat else "was killed"
        click.echo(f"The driver of {sweep} {how}. To resume, run the command that started it again.")


def _ask_to_leave(left: Event) -> str:
    left.set()
    return "the sweep continues"


def _states(runs: Path, sweep: str, *, seconds: float, left: Event) -> Iterator[SweepState]:
    """Yield the state of a sweep repeatedly, until its driver has ended or the view is left."""
    from sweeps.search.state import read_state
    from sweeps.views.live.reading import LARGEST_SHARE

    while True:
        begun = time.monotonic()
        state = read_state(runs, sweep)
        yield state
        if state.driver is None or left.is_set():
            return
        reading = time.monotonic() - begun
        left.wait(max(seconds, reading / LARGEST_SHARE))
