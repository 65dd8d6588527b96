"""Has each complete run of a ladder measured on the test images, once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from types import TracebackType

from sweeps.core.errors import StoreError
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.search.ledger import Ledger
from sweeps.store.checkpoints import SweepCheckpoints
from sweeps.worker.measure import Measurement

_log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
"""Between two looks at measurements that are under way."""


class TestStep:
    """Hears of complete runs and has each measured on the test images, on a slot like a trial's."""

    __test__ = False  # a step of a run, not a class of tests

    def __init__(
        self,
        ledger: Ledger,
        *,
        checkpoints: SweepCheckpoints,
        measure: Callable[[str], Measurement],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """Measure nothing yet.

        Args:
            ledger: of the runs.
            checkpoints: their weights.
            measure: begins to measure the network in a checkpoint's file.
            stopping: whether the whole is to stop: nothing is waited for then, and the next start measures it.
        """
        self._ledger = ledger
        self._checkpoints = checkpoints
        self._measure = measure
        self._stopping = stopping
        self._asked: set[int] = set()
        self._begun: dict[int, Measurement] = {}

    def __enter__(self) -> TestStep:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Measure what is complete and not measured, also what a crash before had left so; not where all stops."""
        if kind is None and not self._stopping():
            for record in self._ledger.records:
                self.on_change(record)
            while self._begun and not self._stopping():
                self._collect()
                time.sleep(POLL_SECONDS if self._begun else 0.0)

    def on_change(self, record: TrialRecord) -> None:
        self._collect()
        if self._stopping():
            return
        if record.outcome is not Outcome.COMPLETE or record.test is not None or record.number in self._asked:
            return
        try:
            checkpoint = self._checkpoints.file(record.key)
        except StoreError:  # away just now: it is asked for again at the end, and at the next start
            return
        if checkpoint is not None:
            self._asked.add(record.number)
            self._begun[record.number] = self._measure(checkpoint)

    def _collect(self) -> None:
        """Enter what is measured by now. One that cannot be costs its own result, and no other's."""
        for number in list(self._begun):
            if number not in self._begun:  # taken meanwhile: each entry is a change, which comes here again
                continue
            measurement = self._begun.pop(number)
            try:
                measured = measurement()
            except Exception as error:
                _log.warning(
                    "trial %d could not be measured on the test images (%s): the same command tries it again",
                    number,
                    _first_line(error),
                )
                continue
            if measured is None:
                self._begun[number] = measurement
            else:
                self._ledger.note_test(number, measured)


def _first_line(error: Exception) -> str:
    lines = str(getattr(error, "cause", None) or error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
