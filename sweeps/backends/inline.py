"""Trains one trial after the other in this process, without Ray: for debugging and tests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from sweeps.backends.slots import Slots
from sweeps.core.job import Job
from sweeps.core.task import AnyTask, Parts, TaskConfig
from sweeps.core.trial import TrialRecord
from sweeps.files.settings import Resources
from sweeps.search.confirming import TrialSource
from sweeps.search.ledger import Exhausted
from sweeps.system.machine import local_gpus
from sweeps.worker.measure import Measurement, measure_on_test
from sweeps.worker.session import TrainingStopped, TrialSession


class InlineBackend:
    """Trains one trial after the other in this process, so that a debugger can step into the training."""

    def __init__(self, task: AnyTask, resources: Resources, *, is_late: Callable[[], bool] = lambda: False) -> None:
        """Create the backend.

        Args:
            task: Task of the sweep.
            resources: Resources of a trial.
            is_late: Returns whether the time limit has passed; stops a trial within an epoch.
        """
        self._task = task
        self._is_late = is_late
        self._cpus = resources.cpus_per_trial
        self._takes_gpu = resources.gpus_per_trial != 0 and local_gpus() > 0

    def slots(self) -> Slots:
        return Slots(count=1, cpus=self._cpus, gpus=1.0 if self._takes_gpu else 0.0)

    def train(
        self,
        ledger: TrialSource,
        *,
        parts: Parts,
        job_of: Callable[[TrialRecord], Job],
        stopping: Callable[[], bool],
    ) -> None:
        while not stopping():
            with ledger.in_one_write():
                proposed = ledger.next_trial()
                if proposed is None or isinstance(proposed, Exhausted):
                    return
                job = job_of(proposed)
            session = TrialSession(job, parts, capture_output=False, is_late=self._is_late)
            with contextlib.closing(session), contextlib.suppress(TrainingStopped):
                while not stopping() and not ledger.receive(proposed.number, session.step()):
                    pass

    def measure(self, checkpoint: str, config: TaskConfig) -> Measurement:
        """Return a function that evaluates when it is called, since this process is the only slot."""
        return lambda: measure_on_test(self._task, checkpoint, config=config, device=self.slots().device)
