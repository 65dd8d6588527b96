"""The live state of a sweep of another process, read from the disk at most once a second."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from sweeps.search.state import read_state
from sweeps.views.live.live_state import LiveState, Watcher

SECONDS = 1.0
LARGEST_SHARE = 0.1
"""Largest share of the time for reading. A large journal is read less often."""


class SweepReader:
    """Reads a sweep when it is asked for."""

    def __init__(self, sweep: str, *, runs: Path) -> None:
        """Create it.

        Args:
            sweep: Its name.
            runs: The runs folder.
        """
        self._sweep, self._runs = sweep, runs
        self._watcher: Watcher | None = None
        self._next = 0.0

    def live_state(self) -> LiveState:
        """Return the present state.

        Raises:
            NoSuchSweepError: There is no sweep of this name.
            DamagedJournalError: Its journal cannot be read.
        """
        begun = time.monotonic()
        if self._watcher is None or begun >= self._next:
            state = read_state(self._runs, self._sweep).active_part()
            if self._watcher is None or self._watcher.state.part != state.part:
                self._watcher = Watcher(state)
            self._watcher.state = state
            reading = time.monotonic() - begun
            self._next = begun + max(SECONDS, reading / LARGEST_SHARE)
        is_running = self._watcher.state.driver is not None
        return replace(self._watcher.live_state(), is_running=is_running)
