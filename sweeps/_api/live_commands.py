"""Commands of a live view in another process than the driver: those of `sweeps pause`, `resume`, `skip` and `set`."""

from __future__ import annotations

from pathlib import Path

from sweeps._api.steering import pause, resume, set_limits, skip
from sweeps.core.identity import trial_name
from sweeps.views.live.controls import number_of_trial


class LiveCommands:
    """The commands to one sweep; see `sweeps.views.live.controls.Commands`."""

    def __init__(self, sweep: str, *, runs: Path) -> None:
        self._sweep, self._runs = sweep, runs

    def pause(self) -> str:
        return pause(self._sweep, runs=self._runs).text

    def resume(self) -> str:
        return resume(self._sweep, runs=self._runs).text

    def skip(self, trial: str) -> str:
        return skip(trial_name(self._sweep, number_of_trial(trial)), runs=self._runs).text

    def set_slots(self, slots: int) -> str:
        return set_limits(self._sweep, runs=self._runs, max_concurrent_trials=slots).text
