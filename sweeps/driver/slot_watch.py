"""Update the displayed number of slots when nodes join or leave the Ray cluster."""

from __future__ import annotations

from rich.console import Console

from sweeps.backends.contract import Backend
from sweeps.core.formatting import print_sentence
from sweeps.core.trial import TrialRecord
from sweeps.driver.progress import redraws
from sweeps.search.state import SweepState
from sweeps.store.folder import SweepFolder


class SlotWatch:
    """Compares the backend's slots with the displayed ones at every change of a trial."""

    def __init__(self, backend: Backend, *, state: SweepState, folder: SweepFolder, console: Console) -> None:
        self._backend, self._state, self._folder, self._console = backend, state, folder, console

    def on_change(self, record: TrialRecord) -> None:
        """Store and print the number of slots if it has changed."""
        slots = self._backend.slots()
        if slots.count == self._state.slots:
            return
        self._state.set_slots(slots.count)
        self._folder.publish(slots=slots.count)
        if not redraws(self._console):  # the live view shows them
            print_sentence(self._console, f"{self._state.title}: now {slots.describe()}")
