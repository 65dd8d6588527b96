"""The contract of a backend: it trains what the ledger hands out, and tells the ledger what the trials say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sweeps.backends.slots import Slots
from sweeps.core.job import Job
from sweeps.core.task import Parts, TaskConfig
from sweeps.core.trial import TrialRecord
from sweeps.search.ledger import Ledger
from sweeps.worker.measure import Measurement


class Backend(Protocol):
    """Trains everything a ledger hands out."""

    def slots(self) -> Slots:
        """Return how many trials train at once."""
        ...

    def train(
        self,
        ledger: Ledger,
        *,
        parts: Parts,
        job_of: Callable[[TrialRecord], Job],
        stopping: Callable[[], bool],
    ) -> None:
        """Train until the ledger is exhausted or `stopping` holds."""
        ...

    def measure(self, checkpoint: str, config: TaskConfig) -> Measurement:
        """Begin to measure the run in a checkpoint's file on the sealed part of its data, on a slot of its own."""
        ...
