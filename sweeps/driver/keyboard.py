"""Commands that the keys of a driver's own terminal give: they take the same way as those of other processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sweeps.core.steering import Verb
from sweeps.views.live.controls import number_of_trial

Give = Callable[[Verb, Mapping[str, Any]], None]
"""Stores a command with its values for the driver, which prints its reply."""


class KeyboardCommands:
    """See `sweeps.views.live.controls.Commands`."""

    def __init__(self, give: Give) -> None:
        self._give = give

    def pause(self) -> str:
        return self._sent("pause", {})

    def resume(self) -> str:
        return self._sent("resume", {})

    def skip(self, trial: str) -> str:
        return self._sent("skip", {"trial": number_of_trial(trial), "undo": False})

    def set_slots(self, slots: int) -> str:
        return self._sent("set", {"max_concurrent_trials": slots})

    def _sent(self, verb: Verb, values: Mapping[str, Any]) -> str:
        self._give(verb, values)
        return f"{verb} …"
