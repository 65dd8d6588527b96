"""What the keys of the live view do: they give the commands of `sweeps pause`, `resume`, `skip` and `set`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from sweeps.core.errors import SweepError
from sweeps.views.live.keys import DOWN, UP, Keys
from sweeps.views.live.live_state import LiveState

MESSAGE_SECONDS = 6.0
"""Time for which the reply to a command is shown."""


class Commands(Protocol):
    """Commands to a running sweep. Each returns the reply of its driver.

    Raises:
        SweepError: The command cannot be given. The message says why.
    """

    def pause(self) -> str: ...
    def resume(self) -> str: ...
    def skip(self, trial: str) -> str: ...
    def set_slots(self, slots: int) -> str: ...


def number_of_trial(name: str) -> int:
    """Return the number of a trial from its name in a view, such as `trial 3`.

    Raises:
        SweepError: It is a rung or a replicate.
    """
    found = re.fullmatch(r"trial (\d+)", name)
    if found is None:
        raise SweepError(f"{name} is not a trial of a search, and cannot be skipped.")
    return int(found[1])


class Controls:
    """The keys of a live view. A thread reads them, and the drawing thread asks for the state with selection."""

    def __init__(self, live_state: Callable[[], LiveState], commands: Commands, *, leave: Callable[[], str]) -> None:
        """Create them.

        Args:
            live_state: Returns the state of the sweep.
            commands: Carries out the keys.
            leave: Called by `q`; returns what is shown then.
        """
        self._live_state, self._commands, self._leave = live_state, commands, leave
        self._drawn: LiveState | None = None
        """The state that was drawn last. Keys refer to it, and only the drawing thread computes one."""
        self._selected = 0
        self._message, self._message_until = "", 0.0
        self._keys = Keys(self.on_key)

    def __enter__(self) -> Controls:
        self._keys.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._keys.__exit__(*exception)

    def live_state(self) -> LiveState:
        """Return the state with the selected trial and the line about the keys."""
        state = self._drawn = self._live_state()
        if not self._keys.are_read:
            return state
        return replace(state, selected=self._selected_in(state), footer=self._footer(state))

    def on_key(self, key: str) -> None:
        """Carry out a key, of the view as it is drawn."""
        if (state := self._drawn) is None:
            return
        if key in (UP, DOWN):
            count = max(len(state.running), 1)
            self._selected = (min(self._selected, count - 1) + (1 if key == DOWN else -1)) % count
            return
        try:
            reply = self._carried_out(key, state)
        except SweepError as error:
            reply = str(error)
        if reply is not None:
            self._message, self._message_until = reply, time.monotonic() + MESSAGE_SECONDS

    def _carried_out(self, key: str, state: LiveState) -> str | None:
        if key == "p":
            return self._commands.resume() if state.is_paused else self._commands.pause()
        if key == "s":
            selected = self._selected_in(state)
            return "no trial is running" if selected is None else self._commands.skip(selected)
        if key in ("+", "-") and state.slots is not None:
            slots = state.slots + (1 if key == "+" else -1)
            return self._commands.set_slots(slots) if slots > 0 else "at least one slot: p pauses the sweep"
        return self._leave() if key == "q" else None

    def _selected_in(self, state: LiveState) -> str | None:
        return state.running[min(self._selected, len(state.running) - 1)].name if state.running else None

    def _footer(self, state: LiveState) -> str:
        if time.monotonic() < self._message_until:
            return self._message
        return f"p {'resume' if state.is_paused else 'pause'}  s skip  up/down select  +/- slots  q leave it running"
