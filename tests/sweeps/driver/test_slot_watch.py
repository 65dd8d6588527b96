"""Changes of the number of slots are reported. The backend is a stub."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import cast

from rich.console import Console
from sweep_fakes import book, next_trial

from sweeps.backends.contract import Backend
from sweeps.backends.slots import Slots
from sweeps.driver.slot_watch import SlotWatch
from sweeps.search.state import DriverState, SweepState


class Growing:
    """Has one slot, then the number that the test sets."""

    now = Slots(count=1, cpus=1, gpus=0)

    def slots(self) -> Slots:
        return self.now


def test_a_joined_node_is_reported_once(runs: Path) -> None:
    tiny = book(runs)
    record = next_trial(tiny.open())
    state = SweepState(sweep="tiny", metric="val_accuracy", maximize=True, driver=DriverState(slots=1))
    backend, printed = Growing(), io.StringIO()
    watch = SlotWatch(cast(Backend, backend), state=state, folder=tiny.folder, console=Console(file=printed, width=100))

    with tiny.folder.locked():
        watch.on_change(record)
        assert printed.getvalue() == ""
        backend.now = replace(backend.now, count=5)
        for _ in range(2):
            watch.on_change(record)
        driver = tiny.folder.driver()

    assert printed.getvalue() == "tiny: now 5 slots of 1 core\n"
    assert state.slots == 5
    assert driver is not None
    assert driver["slots"] == 5
