"""Trains one trial after the other in this process, without Ray: for debugging and tests."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from sweeps.backends.slots import Slots
from sweeps.core.job import Job
from sweeps.core.task import AnyTask, Parts, TaskConfig
from sweeps.core.trial import TrialRecord
from sweeps.files.settings import Limits, Resources
from sweeps.search.confirming import TrialSource
from sweeps.system.machine import local_gpus
from sweeps.worker.measure import Measurement, measure_on_test
from sweeps.worker.session import TrainingStopped, TrialSession

HOLD_SECONDS = 0.1
"""Interval between two looks for a command while the sweep is paused."""


class InlineBackend:
    """Trains one trial after the other in this process, so that a debugger can step into the training."""

    def __init__(
        self,
        task: AnyTask,
        resources: Resources,
        *,
        is_late: Callable[[], bool] = lambda: False,
        while_training: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        """Create the backend.

        Args:
            task: Task of the sweep.
            resources: Resources of a trial.
            is_late: Returns whether the time limit has passed; stops a trial within an epoch.
            while_training: Returns a context in which an epoch is trained and the ledger is not used.
        """
        self._task = task
        self._is_late = is_late
        self._while_training = while_training
        self._cpus = resources.cpus_per_trial
        self._takes_gpu = resources.gpus_per_trial != 0 and local_gpus() > 0

    def slots(self) -> Slots:
        return Slots(count=1, cpus=self._cpus, gpus=1.0 if self._takes_gpu else 0.0)

    def limit(self, limits: Limits) -> None:
        """Do nothing: there is one slot."""

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
                job = job_of(proposed) if isinstance(proposed, TrialRecord) else None
            if not isinstance(proposed, TrialRecord) or job is None:
                if not ledger.is_on_hold:
                    return
                time.sleep(HOLD_SECONDS)
                continue
            session = TrialSession(job, parts, capture_output=False, is_late=self._is_late)
            with contextlib.closing(session), contextlib.suppress(TrainingStopped):
                while not stopping():
                    with self._while_training():
                        message = session.step()
                    if ledger.receive(proposed.number, message):
                        break

    def measure(self, checkpoint: str, config: TaskConfig) -> Measurement:
        """Return a function that evaluates when it is called, since this process is the only slot."""
        return lambda: measure_on_test(self._task, checkpoint, config=config, device=self.slots().device)
