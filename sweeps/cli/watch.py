"""`sweeps status --watch`: a running sweep from another terminal, as its driver shows it, from what is on the disk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from sweeps.search.state import SweepState

LARGEST_SHARE = 0.1
"""Of the time, that reading may take: a journal of thousands of trials is read less often."""


def watch(runs: Path, sweep: str, console: Console, *, seconds: float) -> None:
    """Show a sweep until its driver ends, then how it stands.

    Without a terminal a line is printed for each change of the numbers.
    """
    from sweeps.views.live.live_state import Watcher
    from sweeps.views.live.screen import Screen
    from sweeps.views.status import headline, print_status

    states = _states(runs, sweep, seconds=seconds)
    state = next(states)
    if state.driver is not None and console.is_terminal and not console.is_dumb_terminal:
        watcher = Watcher(state.active_part())
        with Screen(console, lambda: watcher.live_state(), prints_through=True):
            for state in states:
                if watcher.state.part != state.part:
                    watcher = Watcher(state.active_part())
                watcher.state = state.active_part()
    elif state.driver is not None:
        said = ""
        for state in states:
            counts = headline(state).partition("; last epoch")[0]
            if counts != said:
                click.echo(counts)
                said = counts
    print_status(state, console)
    if state.died:
        how = "is assumed dead" if state.last_heartbeat else "was killed"
        click.echo(f"its driver {how}. Run the command that began {sweep} again to resume")


def _states(runs: Path, sweep: str, *, seconds: float) -> Iterator[SweepState]:
    """Yield how a sweep stands, now and again and again; the last one is that after its driver."""
    from sweeps.search.state import read_state

    while True:
        begun = time.monotonic()
        state = read_state(runs, sweep)
        yield state
        if state.driver is None:
            return
        reading = time.monotonic() - begun
        time.sleep(max(seconds, reading / LARGEST_SHARE))
