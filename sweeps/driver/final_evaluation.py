"""Measure each complete run of a ladder once on the test images."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from types import TracebackType

from sweeps.core.errors import StoreError
from sweeps.core.task import TaskConfig
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.search.ledger import Ledger
from sweeps.store.checkpoints import SweepCheckpoints
from sweeps.worker.measure import Measurement

_log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
"""Interval between two polls of running measurements."""


class TestStep:
    """Observes trials and starts the measurement of each complete run on the test images, on a slot like a trial's.

    Args:
        ledger: of the runs.
        checkpoints: their weights.
        measure: starts to measure the network of a checkpoint file.
        stopping: returns whether the sweep stops. Then it waits for nothing, and the next start measures the rest.
    """

    __test__ = False  # a step of a run, not a class of tests

    def __init__(
        self,
        ledger: Ledger,
        *,
        checkpoints: SweepCheckpoints,
        measure: Callable[[str, TaskConfig], Measurement],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._ledger = ledger
        self._checkpoints = checkpoints
        self._measure = measure
        self._stopping = stopping
        self._requested: set[int] = set()
        self._running: dict[int, Measurement] = {}

    def __enter__(self) -> TestStep:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Measure all complete runs without a test result, unless the sweep stops or an error occurred."""
        if kind is None and not self._stopping():
            for record in self._ledger.records:
                self.on_change(record)
            while self._running and not self._stopping():
                self._collect()
                time.sleep(POLL_SECONDS if self._running else 0.0)

    def on_change(self, record: TrialRecord) -> None:
        self._collect()
        if self._stopping():
            return
        if record.outcome is not Outcome.COMPLETE or record.test is not None or record.number in self._requested:
            return
        try:
            checkpoint = self._checkpoints.file(record.key)
        except StoreError:  # unreachable now: retried at the end and at the next start
            return
        if checkpoint is not None:
            self._requested.add(record.number)
            self._running[record.number] = self._measure(checkpoint, record.config)

    def _collect(self) -> None:
        """Store the finished measurements. A failed one does not affect the others."""
        for number in list(self._running):
            if number not in self._running:  # `note_test` notifies `on_change`, which calls this method again
                continue
            measurement = self._running.pop(number)
            try:
                measured = measurement()
            except Exception as error:
                _log.warning(
                    "trial %d could not be evaluated on the test images (%s). Run the same command again to retry.",
                    number,
                    _first_line(error),
                )
                continue
            if measured is None:
                self._running[number] = measurement
            else:
                self._ledger.note_test(number, measured)


def _first_line(error: Exception) -> str:
    lines = str(getattr(error, "cause", None) or error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
