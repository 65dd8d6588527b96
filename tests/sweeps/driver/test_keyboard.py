"""The keys of a driver's own terminal."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any

import pytest

from sweeps.core.errors import SweepError
from sweeps.core.formatting import make_console
from sweeps.driver.keyboard import KeyboardCommands
from sweeps.driver.stopping import Stopping


def test_each_key_stores_the_command_of_its_verb() -> None:
    given: list[tuple[str, Mapping[str, Any]]] = []
    keys = KeyboardCommands(lambda verb, values: given.append((verb, values)))
    keys.pause()
    keys.resume()
    keys.skip("trial 7")
    keys.set_slots(2)
    assert given == [
        ("pause", {}),
        ("resume", {}),
        ("skip", {"trial": 7, "undo": False}),
        ("set", {"max_concurrent_trials": 2}),
    ]


@pytest.mark.parametrize("name", ["deep", "trial 3, seed 1"])
def test_a_rung_or_a_replicate_is_not_skipped(name: str) -> None:
    with pytest.raises(SweepError, match="cannot be skipped"):
        KeyboardCommands(lambda verb, values: None).skip(name)


def test_a_left_sweep_continues_when_its_terminal_is_closed() -> None:
    stopping = Stopping(limit=None, console=make_console())
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with stopping.on_signals():
            stopping.outlive_terminal()
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stopping()
    finally:
        signal.signal(signal.SIGHUP, before)
