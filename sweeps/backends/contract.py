"""The contract of a backend: it trains the ledger's trials, and passes their messages to the ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sweeps.backends.slots import Slots
from sweeps.core.job import Job
from sweeps.core.task import Parts, TaskConfig
from sweeps.core.trial import TrialRecord
from sweeps.files.settings import Limits
from sweeps.search.confirming import TrialSource
from sweeps.worker.measure import Measurement


class Backend(Protocol):
    """Trains all trials of a ledger."""

    def slots(self) -> Slots:
        """Return the slots."""
        ...

    def limit(self, limits: Limits) -> None:
        """Change the limits of concurrent trials. Running trials continue."""
        ...

    def train(
        self,
        ledger: TrialSource,
        *,
        parts: Parts,
        job_of: Callable[[TrialRecord], Job],
        stopping: Callable[[], bool],
    ) -> None:
        """Train until the ledger is exhausted or `stopping` returns True."""
        ...

    def measure(self, checkpoint: str, config: TaskConfig) -> Measurement:
        """Start the evaluation of a checkpoint's run on the test set, on its own slot."""
        ...
