"""One trial after the other in this process, without Ray: for a debugger, for tests, for a first look."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from sweeps.backends.slots import Slots
from sweeps.core.job import Job
from sweeps.core.task import AnyTask, Parts, TaskConfig
from sweeps.core.trial import TrialRecord
from sweeps.files.settings import Resources
from sweeps.search.ledger import Exhausted, Ledger
from sweeps.system.machine import local_gpus
from sweeps.worker.measure import Measurement, measure_on_test
from sweeps.worker.session import TrainingStopped, TrialSession


class InlineBackend:
    """One trial after the other in this process, so that a debugger steps into the training."""

    def __init__(self, task: AnyTask, resources: Resources, *, is_late: Callable[[], bool] = lambda: False) -> None:
        """Train nothing yet.

        Args:
            task: of the sweep.
            resources: of a trial.
            is_late: whether the time is over: an epoch may take longer than there is. A signal lets the epoch end.
        """
        self._task = task
        self._is_late = is_late
        self._cpus = resources.cpus_per_trial
        self._takes_gpu = resources.gpus_per_trial != 0 and local_gpus() > 0

    def slots(self) -> Slots:
        return Slots(count=1, cpus=self._cpus, gpus=1.0 if self._takes_gpu else 0.0)

    def train(
        self,
        ledger: Ledger,
        *,
        parts: Parts,
        job_of: Callable[[TrialRecord], Job],
        stopping: Callable[[], bool],
    ) -> None:
        while not stopping():
            proposed = ledger.next_trial()
            if proposed is None or isinstance(proposed, Exhausted):
                return
            session = TrialSession(job_of(proposed), parts, takes_output=False, is_late=self._is_late)
            with contextlib.closing(session), contextlib.suppress(TrainingStopped):
                while not stopping() and not ledger.receive(proposed.number, session.step()):
                    pass

    def measure(self, checkpoint: str, config: TaskConfig) -> Measurement:
        """Measure when the result is asked for: there is one slot, this process."""
        return lambda: measure_on_test(self._task, checkpoint, config=config, device=self.slots().device)
